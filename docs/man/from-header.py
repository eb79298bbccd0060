#!/usr/bin/env python3
"""from-header.py HEADER TEMPLATE OUT: the manual page of a noun, made from its public header. Beside OUT, in the directory
functions, a page for each function sends the reader there.

The contract of a function is written once, in the header; the page repeats it with the synopsis and the types. TEMPLATE
has the rest: lines `@brief TEXT` (what the noun is) and `@links PAGE SECTION…` (see also), then mdoc that comes after
the functions: EXAMPLES, CAVEATS. What every function of a library has in common is in uds(3) or sbx(3).

A function whose contract is not whole stops the build: each label stands in its comment, or the header's model says
"Unless a comment says otherwise" of all of them.
"""
import pathlib
import re
import sys

ASCII = str.maketrans({
    "…": "...", "–": "-", "—": "-", "→": "->", "≤": "<=", "≥": ">=", "≠": "!=", "×": "x", "µ": "u", "─": "-", "│": "|",
    "▶": ">", "◀": "<", "▲": "^", "▼": "v", "┌": "+", "┐": "+", "└": "+", "┘": "+", "├": "+", "┤": "+", "┬": "+", "┴": "+",
    "·": "*", "“": '"', "”": '"', "’": "'", "§": "section ",
})
CONTRACT = ("Ownership", "Errors", "Blocking", "Threads", "Since")
LABELS = CONTRACT + ("See",)


def escape(text):
    text = text.translate(ASCII).replace("\\", "\\e")
    return "\n".join("\\&" + line if line[:1] in (".", "'") else line for line in text.split("\n"))


def prose(text):
    """Text with functions bold and parameters in italics, a sentence a line."""
    text = escape(re.sub(r"(?<=[\w)\]\">*/][.?!])(?<!e\.g\.)( +|(?<=[.])\s+)(?=[A-Z@\"'…-])", "\n", text))
    text = re.sub(r"\b([a-z_0-9]+\(\))", r"\\fB\1\\fP", text)
    text = re.sub(r"@([a-z_]+)", r"\\fI\1\\fP", text)
    return text


def literal(lines):
    return [".Bd -literal -offset indent", *(escape(line) for line in lines), ".Ed"]


def comment_lines(comment):
    body = re.sub(r"^/\*+", "", comment)[:-2]
    lines = [re.sub(r"^\s*\*? ?", "", line, count=1).rstrip() if i else line.strip() for i, line in enumerate(body.split("\n"))]
    while lines and not lines[0]:
        lines.pop(0)
    while lines and not lines[-1]:
        lines.pop()
    return lines


def paragraphs(lines):
    """Prose is filled; what is indented stays as it is."""
    out, prose_lines, fixed = [], [], []

    def flush():
        if prose_lines:
            out.extend([".Pp", prose("\n".join(prose_lines))])
            prose_lines.clear()
        if fixed:
            out.extend(literal(fixed))
            fixed.clear()

    for line in lines:
        if not line:
            flush()
        elif line.startswith("  ") and not prose_lines:
            fixed.append(line[2:])
        else:
            if fixed:
                flush()
            prose_lines.append(line.strip())
    flush()
    return out


class Function:
    def __init__(self, declaration):
        text = " ".join(re.sub(r"/\*.*?\*/", "", declaration, flags=re.S).split())
        text = re.sub(r"\b(UDS_EXPORT|UDS_NODISCARD)\b|__attribute__\(\(.*?\)\)\)?", "", text).strip().rstrip(";").strip()
        match = re.match(r"(.*?)\b((?:uds|sbx)_\w+)\((.*)\)$", text)
        self.type, self.name, arguments = match[1].strip(), match[2], match[3]
        self.arguments, depth, current = [], 0, ""
        for c in arguments:
            depth += (c == "(") - (c == ")")
            if c == "," and depth == 0:
                self.arguments.append(current.strip())
                current = ""
            else:
                current += c
        self.arguments.append(current.strip())
        trailing = re.search(r"/\*(.*?)\*/\s*$", declaration, re.S)
        self.note = " ".join(trailing[1].split()) if trailing else None

    def synopsis(self):
        return [f".Ft {self.type}", f".Fo {self.name}", *(f'.Fa "{escape(a)}"' for a in self.arguments), ".Fc"]


TOKEN = re.compile(r"(?P<comment>^/\*.*?\*/)|(?P<function>^UDS_EXPORT\b.*?;[ \t]*(?:/\*.*?\*/)?)|(?P<line>^[^\n]*$)", re.S | re.M)


def split_header(text):
    """The model comment, the types as text, and groups of (comment or None, functions)."""
    front, body = re.split(r"^UDS_BEGIN_DECLS$", text, maxsplit=1, flags=re.M)
    body = re.split(r"^UDS_END_DECLS$", body, maxsplit=1, flags=re.M)[0]
    model = [c for c in re.findall(r"^/\*.*?\*/", front, re.S | re.M) if "SPDX" not in c]
    # Declarations such as `struct event_base;` before the model are of no interest; defines are types.
    types = [line for line in front.split("\n") if re.match("#define (UDS|SBX)_", line) and not line.endswith("_H")]
    groups, pending = [], None
    position = 0
    while position < len(body):
        match = re.compile(r"\n*").match(body, position)
        if match.end() > position:
            if pending is None and types and types[-1] and match.end() - position > 1:
                types.append("")
            position = match.end()
            continue
        line_rest = TOKEN.match(body, position)
        if line_rest["comment"]:
            if pending is not None and not pending.startswith("/**"):
                types += pending.split("\n")
            pending = line_rest["comment"]
        elif line_rest["function"]:
            function = Function(line_rest["function"])
            if pending is not None:
                groups.append((pending, [function]))
                pending = None
            elif groups:
                groups[-1][1].append(function)
            else:
                groups.append((None, [function]))
        else:
            if pending is not None:
                types += pending.split("\n")
                pending = None
            types.append(line_rest["line"])
        position = line_rest.end()
    while types and not types[-1]:
        types.pop()
    return model, types, groups


def labelled(text):
    """'Ownership: … Errors: … Since: 0.1.' as pairs."""
    found = list(re.finditer(r"(?:^|(?<=[.\s]))(%s):\s+" % "|".join(LABELS), text))
    if not found:
        return text, []
    pairs = []
    for this, following in zip(found, found[1:] + [None]):
        pairs.append((this[1], text[this.end():following.start() if following else len(text)].strip()))
    return text[:found[0].start()].strip(), pairs


def group_page(comment, functions):
    lines = comment_lines(comment) if comment else []
    title = " , ".join(f.name for f in functions)
    out = [f".Ss {', '.join(f.name + '()' for f in functions)}"]
    text = "\n".join(lines)
    match = re.match(r"((?:(?:uds|sbx)_\w+\(\)|/|\s|add_\w+\(\)|get_\w+\(\)|\w+\(\))+)\s+-\s+", text)
    if match:
        text = text[match.end():]
    # Up to the labels.
    cut = re.search(r"(?:^|(?<=\s))(%s):\s" % "|".join(LABELS), text, re.M)
    front, back = (text[:cut.start()], text[cut.start():]) if cut else (text, "")
    parameters, rest, current = [], [], None
    for line in front.split("\n"):
        match = re.match(r"((?:@\w+(?:, )?)+):\s*(.*)", line)
        if match:
            current = [match[1], match[2]]
            parameters.append(current)
        elif current is not None and line.startswith("  "):
            current[1] += " " + line.strip()
        else:
            current = None
            rest.append(line)
    first = []
    while rest and rest[0]:
        first.append(rest.pop(0).strip())
    sentence = " ".join(first)
    if sentence:
        out.append(prose(sentence[0].upper() + sentence[1:] + ("" if sentence.endswith(".") else ".")))
    if parameters:
        out.append(".Bl -tag -width Ds -compact")
        for names, meaning in parameters:
            out += [".It " + ", ".join(f"\\fI{n.strip().lstrip('@')}\\fP" for n in names.split(",")), prose(meaning)]
        out.append(".El")
    out += paragraphs(rest)
    after, pairs = labelled(" ".join(back.split()))
    if after:
        out += [".Pp", prose(after)]
    if pairs:
        out += [".Pp", ".Bl -tag -width Ownership -compact"]
        for label, value in pairs:
            out += [f".It {label}", prose(value.rstrip())]
        out.append(".El")
    for function in functions:
        if function.note:
            out += [".Pp", f"\\fB{function.name}()\\fP: {prose(function.note)}."]
    return out


def is_named(name, comment):
    """Does the comment name the function, if only by its end ("uds_msg_add_string() / add_u32()")?"""
    words = name.split("_")
    return comment.startswith("/**") and any(
        re.search(r"(?<![a-z_])" + "_".join(words[i:]) + r"\(\)", comment) for i in range(len(words) - 1))


def incomplete(model, groups):
    """Functions without a contract, and what it lacks."""
    if not groups:
        return
    default = next((c for c in model if re.search(r"unless a comment says otherwise", c, re.I)), "").lower()
    for label in CONTRACT:
        if default and label.lower().replace("ownership", "changes owner") not in default:
            yield f"what is said of every function lacks {label}"
    for comment, functions in groups:
        lacking = [label for label in CONTRACT if not default and not (comment and re.search(label + ":", comment))]
        for f in functions:
            if lacking:
                yield f"{f.name}() lacks {', '.join(lacking)}"
            elif not is_named(f.name, comment or ""):
                yield f"{f.name}() has no comment of its own, nor one that names it"


ERRNO = re.compile(r"-(E[A-Z0-9]+)")


def errors(groups):
    """Each errno with the functions that can give it, and what it means of them where that is said."""
    found = {}
    for comment, functions in groups:
        words = " ".join(comment_lines(comment)) if comment else ""
        text = dict(labelled(words)[1]).get("Errors", words)
        pending = []
        for name, after in zip(*[iter(ERRNO.split(text)[1:])] * 2):
            pending.append(name)
            if re.fullmatch(r"\s*(/|and|or)\s*", after):
                continue  # "-EMFILE and -ENFILE no descriptor": the words are for both
            meaning = " ".join(re.split(r";|\. |, as |: then", after)[0].split()).strip(" ,.")
            if meaning.startswith("(") or meaning.count("(") != meaning.count(")"):
                meaning = ""
            for n in pending:
                found.setdefault(n, []).append((functions, meaning))
            pending = []
    return found


def errors_page(groups):
    found = errors(groups)
    if not found:
        return [".Sh ERRORS", "No function here fails." if groups else "There is no function here."]
    out = [".Sh ERRORS", "On failure a function returns the negative value of one of these;", ".Xr uds_error 3", "says what each means everywhere.", ".Bl -tag -width Er"]
    for name in sorted(found):
        out.append(f".It Bq Er {name}")
        for i, (functions, meaning) in enumerate(found[name]):
            names = ", ".join(f.name + "()" for f in functions)
            out += [".br"] * (i > 0) + [prose(names + (": " + meaning if meaning else ""))]
    return out + [".El"]


def main():
    header, template, target = map(pathlib.Path, sys.argv[1:4])
    model, types, groups = split_header(header.read_text())
    brief, links, rest = None, [], []
    for line in template.read_text().splitlines():
        if line.startswith("@brief "):
            brief = line[7:]
        elif line.startswith("@links "):
            words = line[7:].split()
            links = list(zip(words[::2], words[1::2]))
        else:
            rest.append(line)
    part = header.parent.name  # "uds" or "sbx", which is the prefix of its names, too
    name = f"{part}_{header.stem}"
    out = [f'.\\" Made from {part}/{header.name} by from-header.py.', ".Dd $Mdocdate$", f".Dt {name.upper()} 3", ".Os", ".Sh NAME"]
    names = [f.name for _, functions in groups for f in functions]
    listed = [name, *(n for n in names if n != name)]
    out += [f".Nm {n} ," for n in listed[:-1]] + [f".Nm {listed[-1]}", f".Nd {brief}", ".Sh SYNOPSIS", f".In {part}/{header.name}"]
    for _, functions in groups:
        for function in functions:
            out += function.synopsis()
    out.append(".Sh DESCRIPTION")
    for comment in model:
        out += paragraphs(comment_lines(comment))
    if types:
        out += [".Sh TYPES", *literal(types)]
    if groups:
        out.append(".Sh FUNCTIONS")
    for comment, functions in groups:
        out += group_page(comment, functions)
    out += rest
    out += errors_page(groups)
    out += [".Sh SEE ALSO"]
    links.sort(key=lambda link: (link[1], link[0]))
    for i, (page, section) in enumerate(links):
        out.append(f".Xr {page} {section}" + (" ," if i + 1 < len(links) else ""))
    if not names and not types:
        sys.exit(f"{header}: neither function nor type found")
    missing = set(re.findall(rf"\b({part}_\w+)\(", "".join(re.findall(r"^UDS_EXPORT[^;]*;", header.read_text(), re.M)))) - set(names)
    if missing:
        sys.exit(f"{header}: functions that the page would lack: {', '.join(sorted(missing))}")
    problems = list(incomplete(model, groups))
    if problems:
        sys.exit("\n".join(f"{header}: {p}" for p in problems))
    text = re.sub(r"(\.Sh DESCRIPTION|\.Sh FUNCTIONS|\.Ss [^\n]*)\n\.Pp\n", r"\1\n", "\n".join(out) + "\n")
    target.write_text(text.replace("$Mdocdate$", "November 26, 2026"))
    functions = target.parent / "functions"
    functions.mkdir(exist_ok=True)
    for n in names:
        if n != name:
            (functions / f"{n}.3").write_text(f".so man3/{name}.3\n")


main()
