// Draws the packages' icon: an event loop, and what it turns around.
//   dotnet run eng/Icon.cs -- eng/icon.png             draws it
//   dotnet run eng/Icon.cs -- --check eng/icon.png     tells whether the file is what is drawn here
#:package SkiaSharp
#:package SkiaSharp.NativeAssets.Linux.NoDependencies
#:property PublishAot=false
#:property UseCurrentRuntimeIdentifier=true
using SkiaSharp;

const int Size = 128;

// Edges may be rounded differently by another processor's instructions; nobody sees a difference of two in 255.
const int Tolerance = 2;

using SKBitmap icon = Draw();
switch (args)
{
    case ["--check", string file]:
        using (SKBitmap present = SKBitmap.Decode(file, icon.Info))
        {
            bool same = present is { Width: Size, Height: Size }
                && present.Bytes.Zip(icon.Bytes).All(pair => Math.Abs(pair.First - pair.Second) <= Tolerance);
            Console.WriteLine(same ? $"{file} is what is drawn." : $"{file} is not what is drawn.");
            return same ? 0 : 1;
        }

    case [string file]:
        using (SKData png = icon.Encode(SKEncodedImageFormat.Png, quality: 100))
        {
            File.WriteAllBytes(file, png.ToArray());
        }

        return 0;

    default:
        Console.Error.WriteLine("Icon FILE | --check FILE");
        return 2;
}

static SKBitmap Draw()
{
    var bitmap = new SKBitmap(Size, Size);
    using var canvas = new SKCanvas(bitmap);
    canvas.Clear(SKColors.Transparent);

    using var ground = new SKPaint { Color = SKColor.Parse("#12323f"), IsAntialias = true };
    canvas.DrawRoundRect(0, 0, Size, Size, 26, 26, ground);

    // Three quarters of a turn, from half past one to half past ten.
    using var loop = new SKPaint
    {
        Color = SKColors.White, IsAntialias = true, Style = SKPaintStyle.Stroke, StrokeWidth = 11, StrokeCap = SKStrokeCap.Round,
    };
    canvas.DrawArc(new SKRect(28, 28, 100, 100), -45, 270, useCenter: false, loop);

    // Its head, at half past ten: the loop goes on from there.
    using var head = new SKPath();
    head.MoveTo(58, 25);
    head.LineTo(31, 20);
    head.LineTo(43, 50);
    head.Close();
    using var white = new SKPaint { Color = SKColors.White, IsAntialias = true };
    canvas.DrawPath(head, white);

    // Connections: those that are ready are bright.
    using var ready = new SKPaint { Color = SKColor.Parse("#2dd4bf"), IsAntialias = true };
    using var idle = new SKPaint { Color = SKColor.Parse("#4c7a86"), IsAntialias = true };
    canvas.DrawCircle(64, 50, 6.5f, ready);
    canvas.DrawCircle(52, 71, 6.5f, idle);
    canvas.DrawCircle(76, 71, 6.5f, ready);
    return bitmap;
}
