using PackageTool;

switch (args)
{
    case ["docs", string assembly, string documentation, string output]:
        PublicDocs.Write(assembly, documentation, output);
        return 0;
    case ["list", string package]:
        PackageListing.Print(package, Console.Out);
        return 0;
    default:
        Console.Error.WriteLine("""
            PackageTool docs ASSEMBLY XML OUTPUT   copies the XML documentation of the members that other assemblies can see
            PackageTool list PACKAGE               prints what is in a .nupkg or .snupkg, one fact a line
            """);
        return 2;
}
