"""Makes the content that the servers serve: the same bytes each time, written by us and by nobody else."""

import gzip
import json
import os
import pathlib
import random
import struct
import subprocess
import zlib

WORDS = (
    "river stone lantern harbour meadow copper signal orchard winter bridge paper thunder garden "
    "window market salt feather compass island morning velvet anchor timber candle valley mirror "
    "quiet amber forest engine letter summer kettle ribbon harvest sailor corner tunnel dragon north"
).split()


def prose(rng, sentences):
    """Sentences of random words: compressible as text is, and of no meaning that anybody could own."""
    made = []
    for _ in range(sentences):
        words = [rng.choice(WORDS) for _ in range(rng.randint(5, 14))]
        made.append(" ".join(words).capitalize() + rng.choice([".", ".", ".", "!", "?"]))
    return " ".join(made)


def png(width, height, colour):
    """A PNG whose pixel values come from `colour(x, y)`, three bytes each."""
    rows = b"".join(b"\0" + b"".join(bytes(colour(x, y)) for x in range(width)) for y in range(height))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def gif(red, green, blue):
    """One pixel."""
    return (b"GIF89a\1\0\1\0\x80\0\0" + bytes((red, green, blue)) + b"\0\0\0" + b",\0\0\0\0\1\0\1\0\0\2\2D\1\0;")


def svg(rng):
    shapes = "".join(
        f'<circle cx="{rng.randint(5, 195)}" cy="{rng.randint(5, 95)}" r="{rng.randint(3, 20)}" '
        f'fill="hsl({rng.randint(0, 359)} 60% 55%)"/>' for _ in range(24)
    )
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 100" role="img">{shapes}</svg>\n'


def woff2(path):
    """A font of a few square letters, drawn here."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    letters = "abcdefghijklmnopqrstuvwxyz"
    rng = random.Random(77)
    glyphs, metrics = {}, {}
    for name in [".notdef", "space", *letters]:
        pen = TTGlyphPen(None)
        if name != "space":
            for _ in range(3):
                x, y, w, h = rng.randint(0, 300), rng.randint(0, 500), rng.randint(60, 250), rng.randint(60, 250)
                pen.moveTo((x, y)), pen.lineTo((x, y + h)), pen.lineTo((x + w, y + h)), pen.lineTo((x + w, y))
                pen.closePath()
        glyphs[name], metrics[name] = pen.glyph(), (600, 0)
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder(list(glyphs))
    font.setupCharacterMap({32: "space", **{ord(letter): letter for letter in letters}})
    font.setupGlyf(glyphs)
    font.setupHorizontalMetrics(metrics)
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": "Squares", "styleName": "Regular"})
    font.setupOS2(sTypoAscender=800, usWinAscent=800, usWinDescent=200)
    font.setupPost()
    font.font["head"].created = font.font["head"].modified = 3_800_000_000
    font.font.recalcTimestamp = False
    font.font.flavor = "woff2"
    font.font.save(path)


def page(title, rng, host, body="", language="en"):
    return f"""<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<title>{title}</title>
<link rel="icon" href="/img/dot.png" type="image/png">
<link rel="stylesheet" href="/assets/site.css">
<script src="/assets/site.js" defer></script>
</head>
<body>
<h1>{title} of {host}</h1>
{body}
<p>{prose(rng, 12)}</p>
<p>{prose(rng, 9)}</p>
</body>
</html>
"""


def stylesheet(rng, hue):
    rules = "".join(
        f".{rng.choice(WORDS)}-{number} {{ margin: {rng.randint(0, 9)}px; color: hsl({hue} {rng.randint(20, 90)}% 40%); }}\n"
        for number in range(60)
    )
    return f"""@font-face {{ font-family: Squares; src: url(/fonts/squares.woff2) format("woff2"); font-display: block; }}
body {{ font-family: Georgia, serif; margin: 2rem; background: url(/img/tile.png); }}
h1 {{ font-family: Squares, sans-serif; color: hsl({hue} 70% 35%); }}
{rules}"""


def script(rng, name):
    table = ", ".join(f'"{rng.choice(WORDS)}"' for _ in range(120))
    return f"""// {name}
const words = [{table}];
let picked = 0;
function pick() {{ picked = (picked * 31 + 7) % words.length; return words[picked]; }}
document.addEventListener("DOMContentLoaded", () => {{
  const line = document.createElement("p");
  line.textContent = Array.from({{ length: 12 }}, pick).join(" ");
  document.body.append(line);
}});
"""


def build(root):
    """Writes the whole site below `root`: one folder for each host."""
    root = pathlib.Path(root)
    for name, hue in (("www", 210), ("shop", 20)):
        rng = random.Random(f"site of {name}")
        host = f"{name}.example.test"
        top = root / name
        for folder in ("assets", "img", "fonts", "files", "dav"):
            (top / folder).mkdir(parents=True, exist_ok=True)
        pictures = "\n".join(
            f'<img src="/img/{file}" alt="{file}" width="96" height="96">'
            for file in ("plain.png", "noise.png", "shapes.svg", "drawn.webp", "dot.gif")
        )
        (top / "index.html").write_text(page("Home", rng, host, pictures))
        (top / "404.html").write_text(page("Not here", rng, host))
        (top / "account.html").write_text(page("Your account", rng, host))
        (top / "about.html").write_text(page("About", rng, host, '<a href="/">home</a>'))
        for language, words in (("en", "Good morning"), ("de", "Guten Morgen"), ("fr", "Bonjour")):
            (top / f"greeting.{language}.html").write_text(page(words, rng, host, language=language))
        (top / "greeting.html").write_text(page("Welcome", rng, host))
        (top / "assets" / "site.css").write_text(stylesheet(rng, hue))
        (top / "assets" / "print.css").write_text(stylesheet(rng, hue + 40))
        (top / "assets" / "site.js").write_text(script(rng, host))
        (top / "assets" / "extra.js").write_text(script(rng, host + " extra"))
        (top / "img" / "plain.png").write_bytes(png(96, 96, lambda x, y: (hue, x // 4 * 10, y // 6 * 15)))
        (top / "img" / "noise.png").write_bytes(png(56, 56, lambda x, y: rng.randbytes(3)))
        (top / "img" / "tile.png").write_bytes(png(16, 16, lambda x, y: (250 - (x ^ y), 250, 245)))
        (top / "img" / "dot.png").write_bytes(png(8, 8, lambda x, y: (hue, 90, 90)))
        (top / "img" / "dot.gif").write_bytes(gif(hue, 128, 0))
        (top / "img" / "shapes.svg").write_text(svg(rng))
        drawn = top / "img" / "drawn.webp"
        subprocess.run(["cwebp", "-quiet", "-q", "60", top / "img" / "plain.png", "-o", drawn], check=True)
        woff2(top / "fonts" / "squares.woff2")
        items = [{"id": n, "name": rng.choice(WORDS), "price": rng.randint(100, 9999) / 100} for n in range(40)]
        (top / "files" / "items.json").write_text(json.dumps({"host": host, "items": items}, indent=1) + "\n")
        (top / "files" / "notes.txt").write_text("\n".join(prose(rng, 2) for _ in range(40)) + "\n")
        (top / "files" / "large.bin").write_bytes(rng.randbytes(300 * 1024))
        (top / "files" / "medium.bin").write_bytes(rng.randbytes(48 * 1024))
        (top / "files" / "empty.txt").write_bytes(b"")
        plain = (top / "assets" / "print.css").read_bytes()
        (top / "assets" / "print.css.gz").write_bytes(gzip.compress(plain, mtime=0))
    (root / "dav").mkdir(exist_ok=True)
    # Last-Modified must not depend on when the site was made.


    for number, path in enumerate(sorted(root.rglob("*"))):
        os.utime(path, (1_790_000_000 + number * 60,) * 2)
