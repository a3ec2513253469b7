# Formatting and code style. Sourced by .ci/run.

check "the code is formatted" 240 dotnet format KestrelEpollTransport.sln --verify-no-changes
