"""Renders chat templates with PyPI jinja2, set up as Hugging Face transformers does, and with gdn, and compares.

    pip install jinja2
    python chat_templates.py --gdn PATH [--random 20000] [--mutations 5000] [--seed 1] [--write]

Rendered are the templates of Tests/Fixtures/chat_templates/templates with conversations of many kinds, expressions and
small templates of chat_template_cases.py, random expressions, random arrangements of text and tags, and mutations of
all of them. Every text must be equal byte for byte, and what one refuses the other must refuse. What gdn says it does
not support (kinds "unsupported" and "limit") is counted apart. --write writes the expected texts that the tests in
Swift read. The exit status is 1 when anything differs.
"""
import argparse
import collections
import copy
import itertools
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import warnings

import jinja2
import jinja2.ext
import jinja2.sandbox
import jinja2.utils

import chat_template_cases as cases

FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "Tests/Fixtures/chat_templates"


# The environment, by the facts of transformers 5.23.

class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("render"), [], [], body).set_lineno(line)

    def render(self, caller):
        return caller()


class Namespace(jinja2.utils.Namespace):
    def __init__(*args, **kwargs):
        self, args = args[0], args[1:]
        attributes = dict(*args, **kwargs)
        for name in attributes:
            Namespace.check(name)
        jinja2.utils.Namespace.__init__(self, attributes)

    def __setitem__(self, name, value):
        Namespace.check(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)

    @staticmethod
    def check(name):
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError(name)


class Dictionary:
    def __call__(self, *args, **kwargs):
        return dict(*args, **kwargs)

    def fromkeys(self, *args, **kwargs):
        return dict.fromkeys(*args, **kwargs)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def strftime_now(format):
    import datetime

    return datetime.datetime.now().strftime(format)


def environment():
    result = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    result.filters["tojson"] = tojson
    result.globals.update(
        raise_exception=raise_exception, strftime_now=strftime_now, dict=Dictionary(), namespace=Namespace)
    return result


ENVIRONMENT = environment()
warnings.simplefilter("ignore", SyntaxWarning)


def expected(case):
    """The text, or None when jinja2 refuses."""
    try:
        text = ENVIRONMENT.from_string(case["template"]).render(**copy.deepcopy(case["variables"]))
        text.encode()
        return text
    except Exception:
        return None


# Cases.

def tool(name, description, properties, required):
    parameters = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def call(name, arguments, identifier="abcdefghi"):
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


TOOLS = [
    tool("weather", "The weather somewhere.\nNow, or on a day.", {
        "place": {"type": "string", "description": "A city, e.g. \"Köln\""},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        "days": {"type": "array", "items": {"type": "integer"}, "nullable": True},
    }, ["place"]),
    tool("add", "Adds <two> & more numbers", {
        "a": {"type": "number", "minimum": -1.5e-7}, "b": {"type": ["number", "null"], "default": 1.0},
        "deep": {"type": "object", "properties": {"x": {"type": "object", "properties": {}}, "y": {}}},
    }, []),
]

CONVERSATIONS = [
    [{"role": "user", "content": "Hello"}],
    [{"role": "system", "content": " Be brief. "}, {"role": "user", "content": "  Hi\n\nthere \t"}],
    [{"role": "user", "content": "1"}, {"role": "assistant", "content": " 2 "}, {"role": "user", "content": "3"}],
    [{"role": "system", "content": "Sei kurz – 漢字 😀 e\u0301 <b>&amp;"}, {"role": "user", "content": "'\"\\ {{ x }} {% y %}"},
     {"role": "assistant", "content": "a\r\nb"}],
    [{"role": "user", "content": "Weather?"},
     {"role": "assistant", "content": "", "tool_calls": [call("weather", {"place": "Köln", "days": [1, 2.5], "ok": True})]},
     {"role": "tool", "content": "{\"t\": 21}", "tool_call_id": "abcdefghi"},
     {"role": "assistant", "content": "21 degrees."}, {"role": "user", "content": "Thanks"}],
    [{"role": "system", "content": "S"}, {"role": "user", "content": "Two"},
     {"role": "assistant", "tool_calls": [call("add", {"a": 1, "b": None}), call("weather", {"place": "x"}, "123456789")]},
     {"role": "tool", "content": "1", "tool_call_id": "abcdefghi"}, {"role": "tool", "content": "2", "tool_call_id": "123456789"}],
    [{"role": "user", "content": "think"},
     {"role": "assistant", "content": "<think>\nlong\nthought\n</think>\n\nanswer", "reasoning_content": None},
     {"role": "user", "content": "more"}, {"role": "assistant", "content": "b", "reasoning_content": "why", "thinking": "why"}],
    [{"role": "user", "content": [{"type": "text", "text": " part one"}, {"type": "image"}, {"type": "text", "text": "two "}]}],
    [{"role": "assistant", "content": "out of turn"}, {"role": "user", "content": "x"}, {"role": "user", "content": "y"}],
    [{"role": "tool", "content": "lost"}, {"role": "user", "content": None}],
    [{"role": "user", "content": str(i)} if i % 2 == 0 else {"role": "assistant", "content": f"no. {i}"} for i in range(13)],
    [],
]

EXTRAS = [{}, {"bos_token": "<s>", "eos_token": "</s>", "enable_thinking": False, "reasoning_mode": ""},
          {"bos_token": "<|begin|>", "eos_token": "<|end|>", "enable_thinking": True, "tools_in_user_message": False,
           "builtin_tools": ["weather", "code_interpreter"], "date_string": "1 Jan 2025"}]


DOCUMENTS = [{"title": "A", "text": "first\nline"}, {"title": "B", "n": 1}]


def conversations():
    """Template, number of the conversation, and variables beside its messages."""
    for path in sorted((FIXTURES / "templates").glob("*.jinja")):
        for number, tools, prompt, extra in itertools.product(range(len(CONVERSATIONS)), [None, TOOLS], [True, False], EXTRAS):
            yield path.stem, number, {"tools": tools, "documents": DOCUMENTS if prompt else None,
                                      "add_generation_prompt": prompt, **extra}


def snippets():
    templates = ["{{ " + expression + " }}" for expression in cases.EXPRESSIONS] + cases.LINES + cases.TEMPLATES
    return [{"template": template, "variables": cases.VARIABLES} for template in templates]


def neighbours():
    lines = cases.LINES
    for count in (2, 3, 4):
        for start in range(len(lines) - count + 1):
            yield {"template": "\n".join(lines[start:start + count]), "variables": cases.VARIABLES}


class Expressions:
    """Random expressions, most of which mean something."""

    FILTERS = ["upper", "lower", "trim", "length", "string", "int", "float", "list", "first", "last", "join", "sum", "abs",
               "join(', ')", "default('d')", "default('d', true)", "replace('l', 'L')", "round", "round(1)", "sort", "unique|list",
               "reverse|list", "tojson", "tojson(indent=2)", "title", "capitalize", "wordcount", "items|list", "dictsort", "min",
               "max", "map('string')|list", "map('upper')|join", "select|list", "reject('none')|list", "select('string')|list",
               "map(attribute='role')|list", "selectattr('content')|list", "batch(2)|list", "slice(2)|list", "indent(2)", "safe",
               "e", "truncate(5)", "center(9)", "groupby('role')|list", "attr('role')", "sum(start=1)", "map('int', 3)|list"]
    TESTS = ["defined", "undefined", "none", "string", "mapping", "iterable", "sequence", "number", "integer", "float",
             "boolean", "true", "false", "odd", "even", "divisibleby 2", "in [1, 2, 'a']", "eq 1", "lower", "upper", "callable",
             "not none", "not string", "sameas none", "gt 0", "ne 'a'", "escaped"]
    METHODS = ["upper()", "lower()", "strip()", "split()", "split(' ')", "split('l', 1)", "title()", "capitalize()",
               "startswith('H')", "endswith('d')", "find('o')", "count('l')", "replace('o', '0')", "items()", "keys()", "values()",
               "get('a')", "get('zz', 1)", "index(1)", "isdigit()", "splitlines()", "lstrip('H')", "join(['a', 'b'])", "append(1)",
               "format(1, 2)", "swapcase()", "zfill(4)", "partition('o')", "a", "b", "role", "x", "zz"]
    ATOMS = ["1", "0", "-2", "2.5", "'a'", "'Hello World'", "''", "true", "false", "none", "[]", "{}", "s", "n", "neg", "f", "t", "no",
             "nil", "l", "e", "d", "ms", "ws", "u", "q", "missing", "(1, 2)", "range(4)", "'%s-%s'", "'{}{}'", "10", "3.0", "1e20"]
    BINARY = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", ">", "<=", ">=", "in", "not in", "and", "or", "and", "or", "~"]

    def __init__(self, seed):
        self.random = random.Random(seed)

    def one(self, depth):
        pick = self.random
        if depth == 0:
            return pick.choice(self.ATOMS)
        kind = pick.randrange(12)
        inner = lambda: self.one(depth - 1)
        if kind < 3:
            return f"{inner()} {pick.choice(self.BINARY)} {inner()}"
        if kind < 5:
            return f"{inner()}|{pick.choice(self.FILTERS)}"
        if kind == 5:
            return f"{inner()} is {pick.choice(self.TESTS)}"
        if kind == 6:
            return f"({inner()}).{pick.choice(self.METHODS)}"
        if kind == 7:
            return f"({inner()})[{inner()}]"
        if kind == 8:
            # Of variables that can be sliced: what Jinja makes of slices of numbers depends on its constant folding.
            bounds = [pick.choice(["", "1", "-1", "2", "-3", "9"]) for _ in range(3)]
            return f"{pick.choice(['s', 'u', 'ws', 'l', 'ms', 'range(4)'])}[{':'.join(bounds)}]"
        if kind == 9:
            return f"{inner()} if {inner()} else {inner()}"
        if kind == 10:
            return pick.choice(["[{0}, {1}]", "({0}, {1})", "{{'k': {0}, 'b': {1}}}", "dict(a={0}, b={1})", "({0} ~ {1})"]).format(
                inner(), inner())
        return pick.choice(["not {0}", "-{0}", "({0})", "({0})|map('default', {1})|list"]).format(inner(), inner())

    def cases(self, count):
        for _ in range(count):
            yield {"template": "{{ " + self.one(self.random.randint(1, 4)) + " }}", "variables": cases.VARIABLES}


TAGS = [("if true", "endif"), ("if false", "endif"), ("for i in [1, 2]", "endfor"), ("set y", "endset"), ("filter upper", "endfilter"),
        ("generation", "endgeneration"), ("raw", "endraw"), ("with y=1", "endwith"), ("macro f(a=1)", "endmacro")]
PIECES = ["a", " ", "\n", "\t", "  ", "\n\n", "\r\n", "{{ 1 }}", "{{- y }}", "{{ i -}}", "{# c #}", "{#- c #}", "{# c -#}", "{#+ c #}",
          "{# c +#}", "{% set y = 2 %}", "{%- set y = 3 -%}", "{{ f() }}", "{{ loop.index }}", "{%+ set y = 4 +%}"]


def arrangements(seed, count):
    """Text and nested tags with all signs of white-space control."""
    pick = random.Random(seed)

    def block(depth):
        result = []
        for _ in range(pick.randint(1, 6)):
            if depth == 0 or pick.random() > 0.4:
                result.append(pick.choice(PIECES))
                continue
            begin, end = pick.choice(TAGS)
            signs = [pick.choice(["-", "+", "", ""]) for _ in range(4)]
            if begin == "raw" and signs[1] == "+":
                signs[1] = ""
            result.append(f"{{%{signs[0]} {begin} {signs[1]}%}}{block(depth - 1)}{{%{signs[2]} {end} {signs[3]}%}}")
        return "".join(result)

    for _ in range(count):
        yield {"template": block(3), "variables": cases.VARIABLES}


def mutations(sources, seed, count):
    """Cases with parts taken out, doubled, exchanged or replaced."""
    pick = random.Random(seed)
    marks = ["{%", "%}", "{{", "}}", "-", "(", ")", "[", "]", "|", ".", "'", "\"", "\\", " if ", " else ", " not ", " is ", ":", ",", "~",
             "0", "=", "{% endif %}", "{% endfor %}", "{% for m in messages %}", "loop", "namespace(", "é", "\n"]
    for _ in range(count):
        case = pick.choice(sources)
        text = case["template"]
        for _ in range(pick.randint(1, 4)):
            start = pick.randrange(len(text) + 1)
            end = min(len(text), start + pick.choice([0, 1, 1, 2, 5, 20, 100]))
            new = pick.choice(["", "", pick.choice(marks), text[start:end] * 2, pick.choice(marks) + pick.choice(marks)])
            text = text[:start] + new + text[end:]
        yield {"template": text, "variables": case["variables"]}


# Comparison.

def rendered(gdn, requests):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        for case in requests:
            file.write(json.dumps(case, ensure_ascii=False) + "\n")
        file.flush()
        result = subprocess.run([gdn, "tokenizer", "template", "--requests", file.name], capture_output=True, timeout=900)
    if result.returncode:
        raise SystemExit(f"gdn ended with status {result.returncode}: {result.stderr.decode()[-500:]}")
    lines = [json.loads(line) for line in result.stdout.decode().split("\n") if line]
    if len(lines) != len(requests):
        raise SystemExit(f"gdn gave {len(lines)} results for {len(requests)} cases")
    return lines


def compare(gdn, name, requests):
    counts, shown = collections.Counter(), 0
    for case, ours in zip(requests, rendered(gdn, requests)):
        theirs = expected(case)
        if theirs is None and "error" in ours:
            counts["refused by both"] += 1
        elif theirs is not None and ours.get("text") == theirs:
            counts["equal"] += 1
        elif ours.get("kind") in ("unsupported", "limit"):
            counts["not supported"] += 1
        elif " object at 0x" in (theirs or "") or " at 0x" in (theirs or ""):
            counts["shows an address"] += 1
        else:
            counts["DIFFERENT"] += 1
            shown += 1
            if shown <= 20:
                print(f"{name}: {case['template']!r}\n  jinja2 {theirs!r}\n  gdn    {ours!r}")
    print(f"{name}: " + ", ".join(f"{count} {what}" for what, count in sorted(counts.items())))
    return counts["DIFFERENT"]


def write():
    """The fixtures: a line a case, with the text or null where the template must be refused."""
    names = sorted(path.stem for path in (FIXTURES / "templates").glob("*.jinja"))
    sources = {name: (FIXTURES / f"templates/{name}.jinja").read_text() for name in names}
    inputs = {"conversations": CONVERSATIONS, "tools": TOOLS, "documents": DOCUMENTS}
    (FIXTURES / "inputs.json").write_text(json.dumps(inputs, ensure_ascii=False) + "\n", encoding="utf-8")
    with open(FIXTURES / "conversations.jsonl", "w", encoding="utf-8") as file:
        for index, (name, number, variables) in enumerate(conversations()):
            if index % 5 == 0:
                text = expected({"template": sources[name], "variables": {"messages": CONVERSATIONS[number], **variables}})
                # Tools and documents are in inputs.json: here it says whether they are given.
                line = {"template": name, "messages": number, **variables, "tools": variables["tools"] is not None,
                        "documents": variables["documents"] is not None, "text": text}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
    (FIXTURES / "variables.json").write_text(json.dumps(cases.VARIABLES, ensure_ascii=False) + "\n", encoding="utf-8")
    with open(FIXTURES / "snippets.jsonl", "w", encoding="utf-8") as file:
        for case in snippets():
            text = expected(case)
            if " at 0x" not in (text or ""):
                file.write(json.dumps({"template": case["template"], "text": text}, ensure_ascii=False) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gdn", required=True)
    parser.add_argument("--random", type=int, default=20000)
    parser.add_argument("--mutations", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.write:
        write()
    sources = {path.stem: path.read_text() for path in (FIXTURES / "templates").glob("*.jinja")}
    families = [{"template": sources[name], "variables": {"messages": CONVERSATIONS[number], **variables}}
                for name, number, variables in conversations()]
    small = snippets()
    groups = {
        "conversations": families, "snippets": small, "neighbouring snippets": list(neighbours()),
        "random expressions": list(Expressions(options.seed).cases(options.random)),
        "random arrangements": list(arrangements(options.seed, options.random // 4)),
        "mutated conversations": list(mutations(families, options.seed, options.mutations)),
        "mutated snippets": list(mutations(small, options.seed + 1, options.mutations)),
    }
    print(f"jinja2 {jinja2.__version__}, python {sys.version.split()[0]}")
    return 1 if sum(compare(options.gdn, name, requests) for name, requests in groups.items()) else 0


if __name__ == "__main__":
    sys.exit(main())
