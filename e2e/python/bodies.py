"""Random JSON texts, written as text so that every spelling a publisher may send comes up: big
integers, exponents, escapes, duplicate keys, odd whitespace, several scripts."""

MAX_DEPTH = 4
MAX_MEMBERS = 4

_SCALARS = ["null", "true", "false", "0", "-0", "1E400", "-1.5e-300", "1.0", "0.1000"]
_SPACES = ["", "", "", " ", "\n", "\t", " \r\n "]
_PIECES = [
    "a", "Z", "0", " ", "/", "<&>", "ä", "ß", "é", "日本", "Ж", "العربية", "👩‍👩‍👧", "\u2028", "\u200b", "\x7f",
    r"\"", r"\\", r"\/", r"\n", r"\t", r"\b", r"\u0000", r"\u001f", r"\u00e9", r"\ud83d\ude00", r"\ud800", r"\uDC00",
]  # fmt: skip


def document(random):
    """One object or array, as a publisher might have written it."""
    return _object(random, 0) if random.random() < 0.8 else _array(random, 0)


def _value(random, depth):
    kind = random.random()
    if depth < MAX_DEPTH and kind < 0.2:
        return _object(random, depth)
    if depth < MAX_DEPTH and kind < 0.3:
        return _array(random, depth)
    if kind < 0.6:
        return _string(random)
    if kind < 0.8:
        return _number(random)
    return random.choice(_SCALARS)


def _object(random, depth):
    space = random.choice(_SPACES)
    members = [
        f"{space}{_string(random)}{space}:{space}{_value(random, depth + 1)}"
        for _ in range(random.randint(0, MAX_MEMBERS))
    ]
    if members and random.random() < 0.2:
        members.append(random.choice(members))
    return "{" + ",".join(members) + space + "}"


def _array(random, depth):
    space = random.choice(_SPACES)
    members = [space + _value(random, depth + 1) for _ in range(random.randint(0, MAX_MEMBERS))]
    return "[" + ",".join(members) + space + "]"


def _string(random):
    return '"' + "".join(random.choices(_PIECES, k=random.randint(0, 12))) + '"'


def _number(random):
    digits = str(random.randrange(1, 10 ** random.randint(1, 60)))
    sign = random.choice(["", "-"])
    fraction = f".{random.randrange(10**9)}" if random.random() < 0.3 else ""
    exponent = f"{random.choice('eE')}{random.choice(['', '+', '-'])}{random.randrange(300)}"
    return sign + digits + fraction + (exponent if random.random() < 0.2 else "")
