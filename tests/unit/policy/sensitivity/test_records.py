from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Spot = Callable[[str], set[tuple[str, str, str]]]


@pytest.mark.parametrize(
    ("text", "kind", "tier", "value"),
    [
        ("Date of birth: 12/05/1993", "date_of_birth", "likely", "12/05/1993"),
        ("geboren am 3. Mai 1990", "date_of_birth", "likely", "3. Mai 1990"),
        ("I was born on March 5th, 1988", "date_of_birth", "likely", "March 5th, 1988"),
        ("her passport number is XG9382049", "passport", "likely", "XG9382049"),
        ("Reisepass C01X00T47", "passport", "likely", "C01X00T47"),
        ("driver's license number D245-938-19-203", "driving_licence", "likely", "D245-938-19-203"),
        ("PESEL 44051401358", "national_id", "likely", "44051401358"),
        ("Aadhaar number: 2341-2341-2345", "national_id", "likely", "2341-2341-2345"),
        ("tax ID 94-2841935", "tax_id", "likely", "94-2841935"),
        ("bank account 8721938475", "bank_account", "likely", "8721938475"),
        ("SSN 900-12-3456", "ssn", "likely", "900-12-3456"),
        ("patient ID PHX-839221", "medical_record", "likely", "PHX-839221"),
        ("insurance policy #88291-LK", "insurance", "likely", "88291-LK"),
        ("employee ID 127854", "customer_number", "weak", "127854"),
        ("card XXXX-XXXX-XXXX-9876", "payment_card", "likely", "XXXX-XXXX-XXXX-9876"),
    ],
)
def test_a_number_beside_its_word_is_found(spot: Spot, text: str, kind: str, tier: str, value: str) -> None:
    assert (kind, tier, value) in spot(text)


@pytest.mark.parametrize(
    "text",
    [
        "passport control opens soon",
        "policy of 2019",
        "account for 2024-01-01",
        "account growth of 12345%",
        "patient is 45",
        "RFC 2822",
        "claim 1.2.3.4567",
        "membership renewals",
        "client id 73082700-1f09-405b-80d0-3131bfd6272d",
        "customer id abc12",
        "La ville compte 12000 habitants",
        "patente di un inventore del 1998",
    ],
)
def test_other_numbers_are_none(spot: Spot, text: str) -> None:
    assert spot(text) == set()


BY_LANGUAGE = """
passport en My passport number is 533401287
passport en Passport no. AB1234567
passport de Reisepassnummer: C01X0006H
passport fr Mon passeport est le 19AB45678
passport fr numéro de passeport : 18FV21984
passport es Mi pasaporte es PAB123456
passport es número de pasaporte: XDA987654
passport it Il mio passaporto è YA1234567
passport it numero di passaporto YB7654321
passport nl Mijn paspoortnummer is NWX45F1P2
passport pl numer paszportu: EF7654321
passport pt O meu passaporte é CB123456
passport pt número do passaporte: FZ123456
driving_licence en Driving licence: MORGA753116SM9IJ
driving_licence en driver license number is D1234567
driving_licence en DL number: D1234567
driving_licence de Führerscheinnummer B072RRE2I55
driving_licence de Mein Führerschein hat die Nummer B072RRE2I55
driving_licence fr Permis de conduire n° 13AA00002
driving_licence fr numéro de permis : 13AA00002
driving_licence es carné de conducir 12345678Z
driving_licence es permiso de conducir: 12345678Z
driving_licence it patente di guida U1M54F7K2B
driving_licence it numero patente: MI5012345X
driving_licence nl rijbewijsnummer 5123456789
driving_licence pl prawo jazdy nr 12345/09/1234
driving_licence pt carta de condução L-1234567
driving_licence pt CNH 12345678901
bank_account en Account number 12345678, sort code 20-45-77
bank_account en checking account: 000123456789
bank_account en routing number 021000021
bank_account de Kontonummer 1234567890
bank_account de Mein Konto: 532013000, BLZ 37040044
bank_account fr numéro de compte 00012345678
bank_account fr compte bancaire : 0500013M026
bank_account es número de cuenta 2100 0418 45 0200051332
bank_account es mi cuenta bancaria es 0200051332
bank_account it conto corrente 000000123456
bank_account it numero di conto: 000000123456
bank_account nl rekeningnummer 417164300
bank_account nl bankrekening 417164300
bank_account pl numer konta 61 1090 1014 0000 0712 1981 2874
bank_account pl rachunek bankowy: 61109010140000071219812874
bank_account pt conta bancária 00012345678
bank_account pt número da conta: 12345678901
date_of_birth en DOB: 04/11/1978
date_of_birth en born on 4 November 1978
date_of_birth en Her birthday is November 4, 1978
date_of_birth en Birth date 1978-11-04
date_of_birth de Geburtsdatum: 04.11.1978
date_of_birth de geboren am 4. November 1978
date_of_birth de geb. 04.11.1978
date_of_birth fr née le 4 novembre 1978
date_of_birth fr Date de naissance : 04/11/1978
date_of_birth es Fecha de nacimiento: 04/11/1978
date_of_birth es nacido el 4 de noviembre de 1978
date_of_birth es nació el 4 de noviembre de 1978
date_of_birth it nata il 4 novembre 1978
date_of_birth it Data di nascita: 04/11/1978
date_of_birth nl geboortedatum 04-11-1978
date_of_birth nl geboren op 4 november 1978
date_of_birth pl data urodzenia: 04.11.1978
date_of_birth pl urodzony 4 listopada 1978
date_of_birth pl ur. 04.11.1978
date_of_birth pt data de nascimento: 04/11/1978
date_of_birth pt nascida em 4 de novembro de 1978
medical_record en MRN 00482913
medical_record en medical record number: 7712345
medical_record en Patient ID 99812-A
medical_record en hospital number 4471209
medical_record de Patientennummer 4482913
medical_record de Fallnummer: 88123456
medical_record de Krankenversichertennummer A123456780
medical_record fr numéro de dossier médical 4482913
medical_record fr dossier patient : 4482913
medical_record es historia clínica 4482913
medical_record es número de historia clínica: 4482913
medical_record it cartella clinica 4482913
medical_record it numero di cartella: 4482913
medical_record nl patiëntnummer 4482913
medical_record nl dossiernummer 4482913
medical_record pl numer pacjenta 4482913
medical_record pl karta pacjenta nr 4482913
medical_record pt prontuário 4482913
medical_record pt número do processo clínico: 4482913
"""


@pytest.mark.parametrize("row", BY_LANGUAGE.strip().splitlines())
def test_a_number_is_found_in_the_larger_languages(spot: Spot, row: str) -> None:
    kind, _, text = row.split(" ", 2)

    assert kind in {found for found, _, _ in spot(text)}
