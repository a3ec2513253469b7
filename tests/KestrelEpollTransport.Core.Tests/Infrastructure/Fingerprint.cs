using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text;
using KestrelEpollTransport.Loops;

namespace KestrelEpollTransport.Tests;

/// <summary>
/// What tells one moment of an exploration from another: the numbers and flags of the state, and those that the compiler keeps of
/// each actor, its place and its variables.
/// </summary>
internal static class Fingerprint
{
    private const BindingFlags Fields = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic;

    public static string Of<TState>(TState state, IEnumerator<Step>?[] actors)
    {
        StringBuilder text = new();
        Append(text, state!, state!);
        foreach (IEnumerator<Step>? actor in actors)
        {
            text.Append('/');
            if (actor is not null)
            {
                Append(text, actor, state!);
            }
        }

        return text.ToString();
    }

    private static void Append(StringBuilder text, object values, object state)
    {
        foreach (FieldInfo field in values.GetType().GetFields(Fields))
        {
            object? value = field.GetValue(values);
            if (field.FieldType.IsPrimitive || field.FieldType.IsEnum)
            {
                text.Append(value).Append(',');
            }
            else if (value is null || ReferenceEquals(value, state) || value is Step)
            {
                text.Append(value is null ? '-' : '=');
            }
            else if (field.FieldType.IsValueType || value.GetType().IsDefined(typeof(CompilerGeneratedAttribute)))
            {
                // A word of its own type; a part of an actor with steps of its own; or what a condition of a step refers to.
                text.Append('(');
                Append(text, value, state);
                text.Append(')');
            }
            else if (field.DeclaringType != typeof(SharedPass))
            {
                // What the events of a pass say makes no difference to who takes them.
                throw new NotSupportedException($"{values.GetType()}.{field.Name} is neither a number nor a flag.");
            }
        }
    }
}
