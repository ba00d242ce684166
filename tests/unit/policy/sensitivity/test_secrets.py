from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Spot = Callable[[str], set[tuple[str, str, str]]]


@pytest.mark.parametrize(
    ("text", "kind", "tier"),
    [
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA", "private_key", "hard"),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----", "private_key", "hard"),
        ("PuTTY-User-Key-File-2: ssh-rsa", "private_key", "hard"),
        ('{"type": "service_account"}', "service_account", "weak"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJzb21lb25lIn0.4pcPyMD09olPSyXnrXCjTwXyr4BsezdI1AVTmud2fU4", "jwt", "hard"),
        ("postgres://app:s3cr3t-of-app@db.acme.io:5432/x", "connection_string", "hard"),
        ("redis://:p4ssw0rdly@cache:6379", "connection_string", "hard"),
        ("password: hunter22!", "secret", "hard"),
        ("password = 'geheim$parole'", "secret", "likely"),
        ('"db_password": "three words here"', "secret", "weak"),
        (r"{\"api_key\":\"Zx81kQ03nVb72LmP\"}", "secret", "hard"),
        ("API_KEY=Zx81kQ03nVb72LmP", "secret", "hard"),
        ("secret := `m{{h}o)p${e]nob(ody[finds>-_$#thisone}}`", "secret", "hard"),
        ("access_token: 3fea6af1", "secret", "likely"),
        ("db_pass = x)9[kqW$vv7", "secret", "hard"),
        ("The password is Sommer2024 for now.", "secret", "hard"),
        ("my passphrase is zwölf&mond", "secret", "likely"),
        ("curl -u jroe:Wint3rmute https://api.acme.io", "secret", "hard"),
        ("curl --user 'jroe:wintermute!' x", "secret", "hard"),
        ("curl -u jroe:qWErTYuiOPasDFgh x", "secret", "hard"),
        ("Authorization: Bearer 7f9c2ba4e88f827d616045507605853e", "secret", "hard"),
        ("Authorization: Basic anJvZTp3aW50ZXI=", "secret", "hard"),
        ("if ('Zx81-kQ03/nVb7' == user.password) {", "secret", "hard"),
        ('secret("Zx81kQ03nVb72LmP")', "secret", "hard"),
        ('api_key.assign("Zx81kQ03nVb72LmP", 16);', "secret", "hard"),
        ('password "Wint3r-mute"', "secret", "hard"),
        ("password_hash: 9f86d081884c7d659a2feaa0c55ad015", "secret", "hard"),
        ("datadog_api = 7f9c2ba4e88f827d616045507605853e", "api_key", "hard"),
        ("vault token s.Ab3dEf6hIj9lMn2pQr5tUv8x here", "api_key", "hard"),
    ],
)
def test_a_credential_is_found(spot: Spot, text: str, kind: str, tier: str) -> None:
    assert (kind, tier) in {(found, sure) for found, sure, _ in spot(text)}


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY-----\nshort\n-----END PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\n...",
        "-----BEGIN PUBLIC KEY-----",
        "postgres://user:password@localhost/db",
        "https://acme.io:8080/a@b",
        "password = os.environ['DB_PASSWORD']",
        "password = get_password(user)",
        "token = tokens[0]",
        "secret: ${SECRET_VALUE}",
        "api_key = your_api_key_here1",
        "password: changeme123",
        "password=secretPassword",
        "secret_name = 'prod/app/database1'",
        "csrf_token = 'Mj2qykJO5rELyHgezQ69nzUX'",
        "token_count: 123456",
        "credentialsId: 'ff083f76-7804-4ef1-80e4-fe975bb9141b'",
        "max_tokens=100000",
        "secret: 'some words only'",
        "api_key = 'abcdefgh'",
        "password: ab1,",
        "The password is required.",
        "the password is 1234567890123",
        "password: z.string(),",
        "curl -u user:$PASSWORD x",
        'curl -u "${username}:${password}" x',
        "curl -u a:bb x",
        "docker run -u root:rootgroup x",
        "Authorization: Bearer YOUR_TOKEN_HERE",
        "Authorization: Bearer aaaaaaaaaaaa1",
        "Authorization: Bearer letters",
        "datadog: aaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "password_hash: Argon2id",
        "token_digest = 7f9c2ba4e8",
        "(Select-String '^SECRET_KEY=').ToString().Split('=')[1]",
        "access_token = xoxp-1234567890",
        "jwt_secret: my-test-key-longer-than-32-bytes",
        "okta_secret = 1234567890abcdef1234567890abcdef12345678",
        "token = \\\\\\\\\\\\",
        'if ("two words 1" == password) {',
        'getpass("Enter2fa:")',
        'password("Your-c0de?")',
        "datadogs: 7f9c2ba4e88f827d616045507605853",
    ],
)
def test_what_only_looks_like_one_is_not(spot: Spot, text: str) -> None:
    assert not {kind for kind, _, _ in spot(text)} & {"private_key", "connection_string", "secret", "api_key"}


@pytest.mark.parametrize(
    "text",
    [
        "DATABASE_URL=postgresql://postgres:postgres@127.0.0.1:5432/test",
        'JWT_SECRET="${JWT_SECRET:-my-test-key-but-now-longer-than-32-bytes}"',
        'clientSecret = "access-(?:sandbox|production)-[a-f0-9]{8}"',
        'expect(masked).toContain("-----BEGIN RSA PRIVATE KEY-----")',
    ],
)
def test_defaults_expressions_and_heads_without_a_body_are_no_secrets(spot: Callable[[str], set[tuple[str, str, str]]], text: str) -> None:
    assert spot(text) == set()


@pytest.mark.parametrize(
    "text",
    [
        "DATABASE_URL=postgresql://postgres:postgres@db.acme.io:5432/test",
        'JWT_SECRET="${JWT_SECRET:-q8Zt2LwX9vB4nM7kR1pS}"',
        "key -----BEGIN RSA PRIVATE KEY-----",
    ],
)
def test_what_only_looks_like_them_is(spot: Callable[[str], set[tuple[str, str, str]]], text: str) -> None:
    assert "hard" in {tier for _, tier, _ in spot(text)}


BODY = "MIIEpAIBAAKCAQEA0Z3VS5JJcds3xfn4ygWyF0qNzYbCTqfFNfPzGwTPm1rMZyVw"


@pytest.mark.parametrize(
    "text",
    [
        f'["-----BEGIN RSA PRIVATE KEY-----",\n "{BODY}",\n "-----END RSA PRIVATE KEY-----"].join()',
        f'String key = "-----BEGIN PRIVATE KEY-----"\n    + "{BODY}"\n    + "-----END PRIVATE KEY-----";',
        f"['-----BEGIN RSA PRIVATE KEY-----', 'Proc-Type: 4,ENCRYPTED', 'DEK-Info: AES-128-CBC,0123456789ABCDEF0123456789ABCDEF', '', '{BODY}']",
        f"-----BEGIN PRIVATE KEY-----<br>{BODY}<br>-----END PRIVATE KEY-----",
    ],
)
def test_a_private_key_is_found_however_its_lines_are_put_together(spot: Callable[[str], set[tuple[str, str, str]]], text: str) -> None:
    assert ("private_key", "hard") in {(kind, tier) for kind, tier, _ in spot(text)}
