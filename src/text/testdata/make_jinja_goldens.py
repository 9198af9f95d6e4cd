#!/usr/bin/env python3
"""Renders the sources in jinja.json beside this script with jinja2, as transformers does, and writes the texts there.

To add cases, add {"source": ...} to the file and run this; null stands for what jinja2 refuses. Needs what
make_goldens.py needs.
"""

import copy
import json

import jinja2
import jinja2.ext
from make_goldens import HERE, environment


class Generation(jinja2.ext.Extension):
    """transformers' {% generation %}: a block with a scope that prints its body."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("print"), [], [], body).set_lineno(line)

    def print(self, caller):
        return caller()


def render(source, variables):
    try:
        jinja = environment([jinja2.ext.loopcontrols, Generation])
        return jinja.from_string(source).render(**copy.deepcopy(variables))
    except (jinja2.exceptions.TemplateError, TypeError, ValueError, ArithmeticError, AttributeError):
        return None


def main():
    path = HERE / "jinja.json"
    golden = json.loads(path.read_text())
    for case in golden["cases"]:
        case["text"] = render(case["source"], golden["variables"])
    text = json.dumps(golden, ensure_ascii=True).replace('{"source"', '\n{"source"')
    path.write_text(text + "\n")


if __name__ == "__main__":
    main()
