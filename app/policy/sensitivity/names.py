"""People's names: by a list of given names and surnames, and by the words that stand before a name.

The lists are those of the package mimesis (MIT), read as data. A given name alone would flag a fifth of all ordinary prompts, so a surname must follow.
"""

from __future__ import annotations

import json
import re
import unicodedata
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from app.domain import Tier
from app.policy.sensitivity import checks
from app.policy.sensitivity.fold import OTHER, fold
from app.policy.sensitivity.pattern import cased, caseless, unproven

if TYPE_CHECKING:
    from collections.abc import Iterator

_MIN_CHARS = 3
_LATIN_END = 0x250  # folding gives other alphabets' letters a Latin shape, which is no name
# Frequent names of countries that the package has no Latin lists for.
_MORE_GIVEN = """
aarav aditi aditya ahmed aisha ajay akash ali amir amit ananya anil anita anjali arjun arun ashok asha ayesha chidi chinedu chioma deepak deepika
divya emeka fatima ganesh gaurav hamza hassan hui ibrahim imran ishaan jian jing karan kavya kiran kofi krishna kwame lakshmi lei manish manoj meera
min mohammad mohammed mohan mohit muhammad mustafa nadia neha ngozi nikhil nisha olumide omar pooja pradeep prakash praveen priya rahul raj rajesh
rajiv rakesh ramesh ravi rekha ritu rohan rohit sachin saira sameer sandeep sanjay sanjeev sara shankar shreya sneha sunil sunita suresh tariq uday
usha vijay vikram vinod vivek wei xiao yan ying yusuf zainab zhang
"""
_MORE_SURNAMES = """
abdullah acharya adebayo adeyemi agarwal aggarwal ahmed ahuja akhtar ali ansari arora babu balakrishnan banerjee bansal basu bhat bhatt bhattacharya
bose chakraborty chatterjee chaudhary chauhan chopra connor das desai deshmukh deshpande dey diaz doe dubey dutta eze fernandes gandhi ganguly ghosh
gill goswami goyal gupta hussain iqbal iyer jain jha joshi kapoor kaur khan khanna khatri krishnan kulkarni kumar lal li liang lin ling liu ma mahajan
malhotra malik mandel mathur mehra mehta menon mishra mittal mohamed mukherjee murthy nair naidu nguyen nwosu obi okafor okeke okonkwo onyango osei
pandey parekh parikh patel pathak patil pillai prasad qureshi rahman raman rangan rao rastogi rathore reddy roy saxena sen seth sethi shah shaikh
shankar sharma sheikh shetty shukla sidhu siddiqui singh sinha soni srinivasan subramanian sun syed tan thakur tiwari tran trivedi varma venkatesh
verma vyas wang wexler wong wu xie xu yadav yang yeo zhang zhao zhou zhu
"""
# Words that are a name somewhere and something else nearly everywhere.
_NO_GIVEN = """
the hello see list line run over file other odd even las san santa los prince major mac min manual echo find save meta coco come sunday monday friday
else hi hey dear not yes all any and but for from with this that these those when where what who why how new old big small open close start stop next
last first march july autumn winter spring january february september october november december king queen lord lady sir mister der die das del von
sales union island lake mount river port fort saint west east north south central great general data machine deep java swift india israel america
england ireland scotland florida washington houston dallas london berlin rome dublin lisbon boston portland bronx jersey essex columbus cypress
jenkins docker pascal haskell apache siri gemini easter google apple amazon microsoft python linux ubuntu debian bash visual power star super black
white red blue green gold silver grey gray sky happy merry holy noble bishop baron case field form table bar class object type string number map set
key value node tree graph link host user admin test demo sample main base core unit item nova alpha beta delta gamma omega sigma kappa lambda mega
micro nano angular react redux vite babel eclipse ember vue svelte tori iron steel
"""
# Words that are a given name only before a surname of the lists.
_SELDOM_GIVEN = """
mark grant will art bill rose jordan chase grace hope faith joy dawn ray rich sunny ruby jasmine madison austin paris florence victoria virginia
carolina georgia sydney jackson lincoln ada max amber april may june august claude summer dean duke earl cassandra julia oracle phoenix denver orlando
kent devon hudson cleveland dakota alexa christmas china chad page don van sage lance jasper robin sterling brooklyn vienna milan
"""
_NO_SURNAME = """
the and for with from code desktop world city street road avenue lane drive court place park lake river island islands beach hills valley bay county
state states university college school hospital church bank street bridge station airport hotel house museum library center centre institute
industries systems software solutions technologies research press journal times post news media group team party union council committee commission
department office government constitution republic kingdom empire army january february march april may june july august september october november
december monday tuesday wednesday thursday friday saturday sunday english french german spanish italian dutch polish portuguese american british
chinese japanese russian indian language model models theorem law equation function method test score index ratio square number numbers series
transform distribution algorithm rule effect theory principle matrix process space field group ring curve prize award cup game games day days night
year years version first second third also issue issues request all is was are has had will would should can could does did not but who what when
where why how his her their your our its this that these those then than there here said says asked told went got made goes gets wants needs likes
takes buys sells eats runs plays works lives type file line list data user tools options server client service api key value class object string code
error message output input default name names view mode wait core flash pro mini lite plus size limit
"""
_NAME = r"[A-Z][a-z]{1,20}(?:['-][A-Z]?[a-z]{1,20})?"
_TITLES = r"Mr|Mrs|Ms|Miss|Dr|Prof|Professor|Herr|Frau|Monsieur|Madame|Mme|Mlle|Senor|Senora|Sra|Dra|Signor|Signora|Sig|Dott|Pani|Senhor|Senhora|Dhr|Mevr|Mw"
_WRITINGS = "comment post posted message email letter review statement report summary results?"
_FIELDS = (
    r"name|holder|full (?:name|holder)|first name|last name|customer(?: name| holder)?|client(?: name| holder)?|patient(?: name| holder)?"
    r"|employee(?: name)?|student(?: name)?|candidate(?: name)?|applicant(?: name)?|account (?:name|holder)|card ?(?:name|holder)|policy ?(?:name|holder)"
    r"|candidate|beneficiary|payee|policyholder|plaintiff|defendant|claimant|witness|attn|attention|bill(?:ed)? to|ship(?:ped)? to"
    r"|sold to|recipient|sender|signed(?: by)?"
    r"|attending (?:doctor|physician|nurse|surgeon|therapist)|discharging (?:doctor|physician)|referring (?:doctor|physician)"
    r"|doctor|physician|nurse|surgeon|therapist"
    rf"|{'|'.join(f'{word} (?:by|from|for)' for word in _WRITINGS.split())}"
    r"|user|author|contact(?: person)?|emergency contact|attendees|participants|manager|supervisor|from|to|cc|tenant|landlord|buyer|seller"
    r"|borrower|lender|guardian|parent|spouse"
    r"|nombre|apellidos|nom|prenom|vorname|nachname|nome|cognome|imie|nazwisko|naam|patiente?n?|kunde|kundin|mitarbeiter|cliente|paciente|klient|pacjent"
)
_SELF = (
    r"my (?:full |first |last |real |legal )?name(?: is|'s|:)|i am called|i'm called|mein name ist|ich hei[s]{1,2}e|je m'appelle|mon nom est"
    r"|me llamo|mi nombre es|mi chiamo|il mio nome e"
    r"|nazywam sie|mam na imie|meu nome e|chamo-me|me chamo|mijn naam is|ik heet|jag heter|jmenuji se|contact(?: de| von)?|kontakt"
    r"|kontaktperson|signed,?|sincerely,?|kind regards,?"
    r"|best regards,?|warm regards,?|regards,?|best wishes,?|yours truly,?|mit freundlichen grussen,?|cordialement,?|saludos,?|atentamente,?|cordiali saluti,?"
)
_IN_WORD = r"\w"
_GREETINGS = r"hi|hey|hello|dear|morning|hola|bonjour|hallo|ciao|liebe[r]?|cher|chere|estimad[oa]|gentile|beste"
_ITEM = re.compile(r"- $")
_GIVEN_ONLY = re.compile(_NAME)


_SELDOM = frozenset(_SELDOM_GIVEN.split())


@cache
def lists() -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Return given names, surnames, and words that follow a given name without being a surname."""
    given, surnames = set(_MORE_GIVEN.split()), set(_MORE_SURNAMES.split())
    for file in _files():
        person = json.loads(file.read_text(encoding="utf-8"))
        given.update(_plain(person.get("names")))
        surnames.update(_plain(person.get("surnames")))
    no_surname = frozenset(_NO_SURNAME.split())
    return frozenset(given.difference(_NO_GIVEN.split())), frozenset(surnames - no_surname), no_surname


def _files() -> list[Path]:
    spec = find_spec("mimesis")
    folders = spec.submodule_search_locations if spec is not None and spec.submodule_search_locations is not None else []
    return [file for folder in folders for file in sorted(Path(folder).glob("datasets/*/person.json"))]


def _plain(names: object) -> Iterator[str]:
    """Yield names in lower case without accents, those in Latin letters alone."""
    if isinstance(names, dict):
        for listed in names.values():
            yield from _plain(listed)
    elif isinstance(names, list):
        for name in names:
            plain = name if name.isascii() else fold(unicodedata.normalize("NFC", name)).text
            if len(plain) >= _MIN_CHARS and OTHER not in plain and ord(name[0]) < _LATIN_END:
                yield plain.lower()


def listed(match: re.Match[str]) -> Tier | None:
    """Check a given name with a surname: both in the lists is likely, a given name before an unknown word is a hint."""
    given, surnames, no_surname = lists()
    first = (match[0] + match[1]).lower()
    if first not in given:
        return None
    last = match["last"].lower().removesuffix("'s")
    if last in no_surname:
        return None
    is_known = last in surnames or last.partition("-")[0] in surnames
    if not is_known and (len(last) <= _MIN_CHARS or last in given or first in _SELDOM):
        return None
    return Tier.LIKELY if is_known else Tier.WEAK


def addressed(match: re.Match[str]) -> Tier | None:
    """Check a given name on its own, after a greeting or before what somebody says."""
    given, _, _ = lists()
    name = match["value"].lower()
    return Tier.WEAK if name in given and name not in _SELDOM else None


def titled(match: re.Match[str]) -> Tier | None:
    """Check a title with a name: with a surname from the lists, or with two names."""
    given, surnames, no_surname = lists()
    words = [word.lower().removesuffix("'s") for word in _GIVEN_ONLY.findall(match["value"])]
    if words[0] in no_surname:
        return None
    return Tier.LIKELY if len(words) > 1 and (words[0] in given or words[1] in surnames) else Tier.WEAK if words[0] in surnames or words[0] in given else None


def labelled(match: re.Match[str]) -> Tier | None:
    """Check what stands after a word for a person: a name from the lists is likely, two other words are a hint."""
    given, surnames, no_surname = lists()
    words = [word.lower().removesuffix("'s") for word in _GIVEN_ONLY.findall(match["value"])]
    if any(word in no_surname for word in words):
        return None
    if _is_code(match):
        return Tier.LIKELY if len(words) > 1 and words[0] in given and words[-1] in surnames else None
    if words[0] in given:
        return Tier.LIKELY if len(words) > 1 else Tier.WEAK
    return Tier.WEAK if len(words) > 1 and words[1] in surnames else None


def _is_code(match: re.Match[str]) -> bool:
    """Say whether a field called "name" is one of a program's or of its configuration's, where things have names too."""
    return match["field"].lower() == "name" and (match["sign"][-1] in "\"'=" or _ITEM.search(checks.before(match, 8)) is not None)


def introduced(match: re.Match[str]) -> Tier | None:
    """Check what stands after "my name is" and the like: a name, whatever it is."""
    given, surnames, no_surname = lists()
    words = [word.lower() for word in _GIVEN_ONLY.findall(match["value"])]
    if any(word in no_surname for word in words):
        return None
    return Tier.LIKELY if len(words) > 1 else Tier.WEAK if words[0] in given or words[0] in surnames else None


PATTERNS = (
    unproven(
        "person_name",
        rf"\b(?i:{_GREETINGS}),? [A-Z][a-z]",
        re.compile(rf"{caseless(_GREETINGS, not_after=_IN_WORD)},? (?P<value>[A-Z][a-z]{{2,20}})(?=[,!.?]|\s{{0,4}}\n)"),
        addressed,
        behind=20,
        ahead=30,
    ),
    unproven("person_name", r"\] ?[A-Z][a-z]{2,20}:\s", re.compile(r"\] ?(?P<value>[A-Z][a-z]{2,20}):\s"), addressed, behind=30, ahead=5),
    unproven(
        "person_name",
        r"\b[A-Z][a-z'-]{2,20} (?:[A-Z]\.? )?[A-Z][a-z']",
        re.compile(
            rf"[A-Z](?<![\w.@/-].)(?=(?P<first>[a-z]{{2,20}}+(?:-[A-Z][a-z]{{1,20}}+)?+) (?:[A-Z]\.? )?"
            rf"(?P<last>(?:[A-Z]'|Mc|Mac|De|Di|La|Le|Van )?{_NAME})(?![\w@]))"
        ),
        listed,
        behind=60,
        ahead=40,
        apart=True,
    ),
    unproven(
        "person_name",
        rf"\b(?:{_TITLES})\.? (?:[A-Z]\. )?[A-Z][a-z]",
        re.compile(rf"{cased(_TITLES, not_after=_IN_WORD)}\.? (?:[A-Z]\. )?(?P<value>{_NAME}(?: {_NAME})?)"),
        titled,
        behind=40,
        ahead=60,
    ),
    unproven(
        "person_name",
        rf"\b(?:{_FIELDS})\s?[:=]\s{{0,2}}[\"']?(?-i:[A-Z][a-z])",
        re.compile(
            rf"(?P<field>{caseless(_FIELDS, not_after=_IN_WORD)})(?P<sign>\s?[:=]\s{{0,2}}[\"']?)"
            rf"(?P<value>{_NAME}(?:[ ,]{{1,2}}(?:[A-Z]\.? )?{_NAME})?)(?![\w@])"
        ),
        labelled,
        behind=60,
        ahead=60,
        caseless=True,
    ),
    unproven(
        "person_name",
        rf"\b(?:{_SELF})[\s,:]{{1,4}}(?-i:[A-Z][a-z])",
        re.compile(rf"{caseless(_SELF, not_after=_IN_WORD)}[\s,:]{{1,4}}(?P<value>{_NAME}(?: (?:[A-Z]\.? )?{_NAME})?)(?![\w@])"),
        introduced,
        behind=60,
        ahead=60,
        caseless=True,
    ),
)
