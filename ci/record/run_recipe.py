"""Runs one recipe in its laboratory. Started by `ci/record-corpus` inside fresh namespaces, never by hand.

    run_recipe.py RECIPE WORK EARLIER

WORK gets `captured/` and `made.json`; EARLIER is where recordings that others are derived from are found.
"""

import importlib.util
import json
import pathlib
import sys

import lab as laboratory
import site_content


def load(path):
    spec = importlib.util.spec_from_file_location("recipe", path)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    return recipe


def main():
    recipe_path, work, earlier = map(pathlib.Path, sys.argv[1:])
    recipe = load(recipe_path)
    lab = laboratory.Lab(work)
    lab.earlier = earlier
    site_content.build(lab.site)
    try:
        recipe.record(lab)
    except laboratory.LabError as error:
        sys.exit(str(error))
    (lab.work / "made.json").write_text(json.dumps({"files": lab.files, **lab.notes}))


if __name__ == "__main__":
    main()
