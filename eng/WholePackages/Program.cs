// It is there to be published.
return 0;
