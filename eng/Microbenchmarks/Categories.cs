namespace Microbenchmarks;

internal static class Categories
{
    /// <summary>The transport's own code, which has to allocate nothing.</summary>
    public const string Ours = "ours";
}
