using System.Xml.Linq;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;

namespace PackageTool;

/// <summary>The part of a documentation file that is for other assemblies.</summary>
internal static class PublicDocs
{
    /// <summary>Copies <paramref name="documentation"/> without the members that other assemblies can't see.</summary>
    /// <exception cref="InvalidDataException">Nothing is left.</exception>
    public static void Write(string assembly, string documentation, string output)
    {
        HashSet<string> visible = VisibleMembers(assembly);
        XDocument document = XDocument.Load(documentation);
        document.Descendants("member").Where(member => !visible.Contains(member.Attribute("name")!.Value)).Remove();
        if (!document.Descendants("member").Any())
        {
            throw new InvalidDataException($"No member that is documented in {documentation} is public in {assembly}.");
        }

        document.Save(output);
    }

    /// <summary>The names, as documentation has them, of the types and members that other assemblies can see.</summary>
    private static HashSet<string> VisibleMembers(string assembly)
    {
        MetadataReference reference = MetadataReference.CreateFromFile(assembly);
        CSharpCompilation compilation = CSharpCompilation.Create("reader", references: [reference]);
        HashSet<string> names = [];
        Add(((IAssemblySymbol)compilation.GetAssemblyOrModuleSymbol(reference)!).GlobalNamespace, names);
        return names;
    }

    private static void Add(INamespaceOrTypeSymbol container, HashSet<string> names)
    {
        foreach (ISymbol member in container.GetMembers().Where(IsVisible))
        {
            names.Add(member.GetDocumentationCommentId() ?? "");
            if (member is INamespaceOrTypeSymbol inner)
            {
                Add(inner, names);
            }
        }
    }

    private static bool IsVisible(ISymbol symbol) => symbol is INamespaceSymbol
        || symbol.DeclaredAccessibility is Accessibility.Public or Accessibility.Protected or Accessibility.ProtectedOrInternal;
}
