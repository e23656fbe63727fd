"""A bar chart as SVG: one panel a case, one bar a contender: median in GFLOP/s and spread."""

COLOURS = {"bert": "#1f5fbf", "other": "#b9bec8"}


def draw(rows, title):
    cases = list(dict.fromkeys(r["case"] for r in rows))
    panel, bar, left, scale_width = 24, 17, 190, 420
    height = 50 + sum(panel + 14 + bar * sum(r["case"] == c for r in rows) for c in cases)
    most = max(r["gflop_per_s"] * r["median_ms"] / r["least_ms"] for r in rows) or 1
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + scale_width + 130}" '
        f'height="{height}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="10" y="22" font-size="14" font-weight="bold">{escape(title)}</text>',
    ]
    y = 36
    for case in cases:
        y += panel
        label = (
            "AG News, 1,024 texts"
            if case == "text"
            else f"{case.replace('x', ' × ').replace('base-', 'BERT-base, ')} tokens"
        )
        out.append(f'<text x="10" y="{y - 6}" font-weight="bold">{label}: GFLOP/s</text>')
        for row in sorted(
            (r for r in rows if r["case"] == case),
            key=lambda r: (-["int8", "bf16", "fp32"].index(r["precision"]), -r["gflop_per_s"]),
        ):
            width = row["gflop_per_s"] / most * scale_width
            low, high = (
                row["gflop_per_s"] * row["median_ms"] / row[k] / most * scale_width
                for k in ("most_ms", "least_ms")
            )
            colour = COLOURS["bert" if row["contender"].startswith("bert") else "other"]
            out.append(
                f'<text x="{left - 6}" y="{y + 12}" text-anchor="end">'
                f'{escape(row["contender"])}</text>'
            )
            out.append(
                f'<rect x="{left}" y="{y + 2}" width="{width:.1f}" height="{bar - 5}" '
                f'fill="{colour}"/>'
            )
            out.append(
                f'<line x1="{left + low:.1f}" x2="{left + high:.1f}" y1="{y + 8}" y2="{y + 8}" '
                f'stroke="#333"/>'
            )
            out.append(
                f'<text x="{left + max(width, high) + 5:.1f}" y="{y + 12}">'
                f'{row["gflop_per_s"]:.0f}  ({row["texts_per_s"]:.0f} texts/s)</text>'
            )
            y += bar
        y += 14
    return "\n".join(out + ["</svg>"]) + "\n"


def escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
