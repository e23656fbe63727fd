#!/usr/bin/env python3
"""Prints gcovr's JSON summary as a table: lines and branches that ran, for each folder of src/."""

import collections
import json
import sys

folders = collections.defaultdict(lambda: [0, 0, 0, 0])
for file in json.load(open(sys.argv[1]))["files"]:
    name = file["filename"].rsplit("/", 1)[0]
    for key in (name, "all"):
        counts = folders[key]
        counts[0] += file["line_covered"]
        counts[1] += file["line_total"]
        counts[2] += file["branch_covered"]
        counts[3] += file["branch_total"]
print(f"{'folder':20} {'lines':>8} {'ran':>8} {'branches':>9} {'ran':>8}")
for name in sorted(folders, key=lambda n: (n == "all", n)):
    lines, all_lines, branches, all_branches = folders[name]
    print(
        f"{name:20} {all_lines:8} {100 * lines / max(all_lines, 1):7.1f}% "
        f"{all_branches:9} {100 * branches / max(all_branches, 1):7.1f}%"
    )
