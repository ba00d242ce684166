"""What PyYAML finds wrong with a file, in words of our own: its own repeat characters and names of the file, which may be a password's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import yaml

_QUOTE: Final = "while scanning a quoted scalar"  # PyYAML's context; a mark of where the quote opens goes with it
_UNQUOTED: Final = '; within brackets "${NAME}" stands in quotes'
_TAG: Final = "tags such as !x are not read; put a value that starts with `!` in quotes"

# How PyYAML's problem begins (scanner.py, parser.py, composer.py) and what to say of it.
_SENTENCES: Final = {
    "found character '\\t'": "found a tab, where spaces must stand",
    "found character '@'": "a value cannot start with `@`; put it in quotes",
    "found character '`'": "a value cannot start with a backtick; put it in quotes",
    "found character '%'": "a value cannot start with `%`; put it in quotes",
    "found character": "found a character that cannot start a value; put the value in quotes",
    "expected ',' or ']'": "expected `,` or `]`",
    "expected ',' or '}'": "expected `,` or `}`",
    "could not find expected ':'": "expected `:` after a key",
    "mapping values are not allowed": "a `:` stands where none can; put a value that holds `: ` in quotes, and indent keys alike",
    "sequence entries are not allowed": "a `-` stands where no list can; write the list on lines of its own",
    "mapping keys are not allowed": "a `?` stands where no key can; put it in quotes",
    "expected <block end>": "this fits neither the indentation nor the list or mapping around it",
    "expected the node content, but found '<stream end>'": "the file ends where a value or a closing bracket belongs",
    "expected the node content": "expected a value, and found a bracket or a mark of YAML's own; put a value that begins with one in quotes",
    "expected '<document start>'": "the file ends before this; a bracket or quote too many may stand above",
    "found unknown escape character": "found a `\\` that escapes nothing known; write `\\\\`, or use single quotes",
    "expected escape sequence": "found a `\\x`, `\\u` or `\\U` without its hexadecimal digits; write `\\\\`, or use single quotes",
    "found unexpected document separator": "found `---` or `...` inside of quotes",
    "expected indentation indicator": "expected a digit from 1 to 9 after `|` or `>`",
    "expected chomping or indentation": "text after `|` or `>` belongs on the next line",
    "expected a comment or a line break": "expected the end of the line",
    "expected alphabetic or numeric": "a value cannot start with `&` or `*`, unless a name follows; put it in quotes",
    "found undefined alias": "`*` names an anchor that is not there; put a value that starts with `*` in quotes",
    "second occurrence": "an anchor (`&`) has the same name as one before it",
    "found undefined tag handle": _TAG,
    "expected '!'": _TAG,
    "expected '>'": _TAG,
    "expected ' '": _TAG,
    "expected URI": _TAG,
    "but found another document": "a second document starts here; leave the `---` out",
}


def in_words(error: yaml.MarkedYAMLError) -> tuple[int, str]:
    """Return the line of the fault, and a sentence without any of the file's own words."""
    mark, opened = error.problem_mark or error.context_mark, error.context_mark
    line = mark.line + 1 if mark else 1
    problem = error.problem or ""
    if error.context == _QUOTE and opened is not None and problem.startswith("found unexpected end"):
        return opened.line + 1, "a quote is opened here and never closed"
    sentence = next((sentence for start, sentence in _SENTENCES.items() if problem.startswith(start)), "it cannot be read from here on")
    if problem.startswith("could not find") and opened is not None:
        line = opened.line + 1
    elif problem.startswith("expected ',' or") and opened is not None:
        sentence += f", for the bracket of line {opened.line + 1} is still open"
        sentence += _UNQUOTED if problem.endswith("got '{'") else ""
    return line, sentence
