using System.IO.Compression;
using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;
using System.Text;
using System.Xml.Linq;

namespace PackageTool;

/// <summary>What is in a package, as lines that begin with the kind of fact: for people, and for grep.</summary>
internal static class PackageListing
{
    // The kind of custom debug information that holds Source Link's map: the Portable PDB specification.
    private static readonly Guid s_sourceLink = new("CC110556-A091-4D38-9FEC-25AB9A351A6A");

    public static void Print(string package, TextWriter output)
    {
        using ZipArchive archive = ZipFile.OpenRead(package);
        foreach (ZipArchiveEntry entry in archive.Entries.Where(entry => !IsEnvelope(entry.FullName)).OrderBy(entry => entry.FullName, StringComparer.Ordinal))
        {
            using var content = new MemoryStream();
            using (Stream stream = entry.Open())
            {
                stream.CopyTo(content);
            }

            content.Position = 0;
            output.WriteLine($"file {entry.FullName} {entry.Length}");
            switch (Path.GetExtension(entry.FullName))
            {
                case ".nuspec": PrintSpecification(content, output); break;
                case ".dll": PrintAssembly(content, output); break;
                case ".pdb": PrintSymbols(content, output); break;
                case ".xml": PrintDocumentation(content, output); break;
                default: break;
            }
        }
    }

    // What every such archive has: OPC's own parts.
    private static bool IsEnvelope(string name) => name is "[Content_Types].xml" || name.StartsWith("_rels/", StringComparison.Ordinal)
        || name.StartsWith("package/", StringComparison.Ordinal);

    private static void PrintSpecification(Stream content, TextWriter output)
    {
        foreach (XElement element in XDocument.Load(content).Root!.Elements().Single().Descendants().Where(element => !element.HasElements))
        {
            string attributes = string.Concat(element.Attributes().Select(attribute => $" {attribute.Name.LocalName}={attribute.Value}"));
            string group = element.Parent!.Attribute("targetFramework") is { } framework ? $" for={framework.Value}" : "";
            output.WriteLine($"nuspec {element.Name.LocalName}{attributes}{group} {element.Value.ReplaceLineEndings(" | ")}".TrimEnd());
        }
    }

    private static void PrintAssembly(Stream content, TextWriter output)
    {
        using var file = new PEReader(content);
        MetadataReader reader = file.GetMetadataReader();
        output.WriteLine($"assembly {reader.GetAssemblyDefinition().GetAssemblyName().FullName}");
        foreach (DebugDirectoryEntry entry in file.ReadDebugDirectory().Where(entry => entry.Type == DebugDirectoryEntryType.CodeView))
        {
            output.WriteLine($"assembly-pdb {file.ReadCodeViewDebugDirectoryData(entry).Path}");
        }
    }

    private static void PrintSymbols(Stream content, TextWriter output)
    {
        using MetadataReaderProvider provider = MetadataReaderProvider.FromPortablePdbStream(content);
        MetadataReader reader = provider.GetMetadataReader();
        foreach (DocumentHandle handle in reader.Documents)
        {
            output.WriteLine($"source {reader.GetString(reader.GetDocument(handle).Name)}");
        }

        foreach (CustomDebugInformationHandle handle in reader.GetCustomDebugInformation(EntityHandle.ModuleDefinition))
        {
            CustomDebugInformation information = reader.GetCustomDebugInformation(handle);
            if (reader.GetGuid(information.Kind) == s_sourceLink)
            {
                output.WriteLine($"sourcelink {Encoding.UTF8.GetString(reader.GetBlobBytes(information.Value))}");
            }
        }
    }

    private static void PrintDocumentation(Stream content, TextWriter output)
    {
        foreach (XElement member in XDocument.Load(content).Descendants("member"))
        {
            output.WriteLine($"documented {member.Attribute("name")!.Value}");
        }
    }
}
