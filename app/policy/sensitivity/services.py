"""Tokens with a prefix or a shape that their service documents, or that secret scanning services publish. One line each."""

from __future__ import annotations

import re

from app.domain import Tier
from app.policy.sensitivity import checks
from app.policy.sensitivity.examples import is_published
from app.policy.sensitivity.pattern import Pattern

_PLACEHOLDER = re.compile(r"(?i)x{5}|\*{3}|\.\.\.|example|your[-_]|placeholder|0{12}|1{12}|a{12}|redacted|abc123|123xyz|#{5}|my-(?:bot-)?token|_here")
_LONG_CHARS = 100  # in a longer one such a run may be chance
_FILE = re.compile(r"(?i)\.(?:png|jpe?g|gif|svg|js|css|ico|woff2?)\b")
_APART = "(?<![A-Za-z0-9])(?<![A-Za-z0-9][_-])"
_MIN_ENTROPY_BITS = 3.0  # of the characters after the prefix: words and fillers are below it, random hex of 20 and more above

TOKENS = {
    "openai": r"sk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,}",
    "openai_old": r"sk-[A-Za-z0-9]{32,}",
    "anthropic": r"sk-ant-[a-z0-9]{3,10}-[A-Za-z0-9_-]{20,}",
    "openrouter": r"sk-or-v1-[a-f0-9]{64}",
    "langfuse": r"sk-lf-[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}",
    "cerebras": r"csk-[a-z0-9]{40,}",
    "groq": r"gsk_[A-Za-z0-9]{40,}",
    "xai": r"xai-[A-Za-z0-9]{60,}",
    "perplexity": r"pplx-[A-Za-z0-9]{40,}",
    "nvidia": r"nvapi-[A-Za-z0-9_-]{50,}",
    "replicate": r"r8_[A-Za-z0-9]{37,40}",
    "hugging_face": r"(?:hf_|api_org_)[A-Za-z]{34}",
    "together": r"tgp_v1_[A-Za-z0-9_-]{40,}",
    "fireworks": r"fw_[A-Za-z0-9]{24,}",
    "elevenlabs": r"sk_[a-f0-9]{48}",
    "pinecone": r"pcsk_[A-Za-z0-9_]{40,}",
    "langsmith": r"lsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}",
    "tavily": r"tvly-[A-Za-z0-9-]{20,}",
    "jina": r"jina_[A-Za-z0-9_]{50,}",
    "firecrawl": r"fc-[a-f0-9]{32}",
    "aws_access_key": r"(?:AKIA|ASIA|ABIA|ACCA|AROA|AIDA|AGPA|ANPA|ANVA|A3T[A-Z0-9])[A-Z2-7]{16}",
    "aws_bedrock": r"ABSK[A-Za-z0-9+/]{100,}={0,2}|bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t[A-Za-z0-9+/]*={0,2}",
    "google_api": r"AIzaSy[A-Za-z0-9_-]{33}",
    "google_oauth": r"GOCSPX-[A-Za-z0-9_-]{28}|ya29\.[A-Za-z0-9_-]{20,}|1//0[A-Za-z0-9_-]{40,}",
    "azure_client_secret": r"[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.-]{31,34}",
    "azure_storage": r"AccountKey=[A-Za-z0-9+/]{86}==",
    "azure_sas": r"[?&]sig=[A-Za-z0-9%/+]{40,}",
    "alibaba": r"LTAI[A-Za-z0-9]{16,24}",
    "tencent": r"AKID[A-Za-z0-9]{28,36}",
    "yandex": r"AQVN[A-Za-z0-9_-]{35,38}|YC[A-Za-z0-9_-]{38}|t1\.[A-Z0-9a-z_-]+={0,2}\.[A-Z0-9a-z_-]{86}={0,2}",
    "digitalocean": r"do[opr]_v1_[a-f0-9]{64}",
    "heroku": r"HRKU-AA[A-Za-z0-9_-]{50,60}",
    "cloudflare": r"v1\.0-[a-f0-9]{24}-[a-f0-9]{146}|cf(?:ut|at|k)_[A-Za-z0-9]{40,}",
    "fly": r"fo1_[A-Za-z0-9_-]{43}|fm[12][ar]?_[A-Za-z0-9+/]{60,}={0,3}",
    "netlify": r"nfp_[A-Za-z0-9]{36,}",
    "vercel": r"vc[pikar]_[A-Za-z0-9]{24,}",
    "render": r"rnd_[A-Za-z0-9]{28,}",
    "scaleway": r"SCW[A-Z0-9]{17}",
    "supabase": r"sbp_[a-f0-9]{40}|sb_secret_[A-Za-z0-9_-]{20,}",
    "planetscale": r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{32,64}",
    "neon": r"napi_[a-z0-9]{60,}",
    "databricks": r"dapi[a-f0-9]{32}(?:-\d)?",
    "github": r"gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{60,90}",
    "gitlab": (
        r"gl(?:pat|dt|rt|rtr|soat|ffct|ft|wt)-[A-Za-z0-9_-]{20}|glpat-[A-Za-z0-9_-]{27,300}\.[0-9a-z]{9}|glcbt-[A-Za-z0-9]{1,5}_[A-Za-z0-9_-]{20}"
        r"|glptt-[A-Za-z0-9]{40}|glimt-[A-Za-z0-9_-]{25}|glagent-[A-Za-z0-9_-]{50}|gloas-[A-Za-z0-9_-]{64}|GR1348941[A-Za-z0-9_-]{20}"
        r"|_gitlab_session=[0-9a-z]{32}"
    ),
    "bitbucket": r"ATBB[A-Za-z0-9]{24,}|ATCTT3[A-Za-z0-9_=-]{60,}",
    "atlassian": r"ATATT3[A-Za-z0-9_=-]{60,}",
    "slack": (
        r"xoxb-\d{8,14}-[A-Za-z0-9-]{18,60}|xox[pe]-(?:\d{8,14}-){2,3}[A-Za-z0-9-]{24,36}|xox[os]-\d+-\d+-\d+-[a-fA-F0-9]+|xox[ar]-(?:\d-)?[A-Za-z-]{0,16}\d[A-Za-z0-9-]{7,80}"
        r"|xoxe(?:\.xox[bp])?-\d-[A-Z0-9]{146,166}|xapp-\d-[A-Z0-9]+-\d+-[a-z0-9]+"
    ),
    "slack_webhook": r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{40,}",
    "teams_webhook": r"webhook\.office\.com/webhookb2/[a-z0-9@-]{60,}/IncomingWebhook/[a-z0-9]{32}/[a-z0-9-]{36}",
    "discord": r"[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}|discord(?:app)?\.com/api/webhooks/\d{15,20}/[A-Za-z0-9_-]{50,}",
    "telegram": r"\d{8,10}:A[A-Za-z0-9_-]{34}",
    "twilio": r"(?:AC|SK)[a-f0-9]{32}",
    "sendgrid": r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}",
    "mailgun": r"(?:key|pubkey)-[a-f0-9]{32}|[a-f0-9]{32}-[a-f0-9]{8}-[a-f0-9]{8}",
    "mailchimp": r"[a-f0-9]{32}-us\d{1,2}",
    "brevo": r"x(?:keysib|smtpsib)-[a-f0-9]{64}-[A-Za-z0-9]{16}",
    "resend": r"re_[A-Za-z0-9]{8}_[A-Za-z0-9]{24}",
    "stripe": r"(?:sk|rk|pk)_(?:test|live|prod)_[A-Za-z0-9]{10,247}|whsec_[A-Za-z0-9+/=]{24,}",
    "square": r"sq0(?:atp|csp|idp)-[A-Za-z0-9_-]{22,60}|EAAA[A-Za-z0-9_-]{60}",
    "paypal": r"access_token\$(?:production|sandbox)\$[a-z0-9]{16}\$[a-f0-9]{32}",
    "plaid": r"access-(?:sandbox|development|production)-[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}",
    "razorpay": r"rzp_(?:live|test)_[A-Za-z0-9]{14,}",
    "flutterwave": r"FLW(?:PUB|SEC)K(?:_TEST)?-[a-h0-9]{12,32}(?:-X)?",
    "adyen": r"AQE[A-Za-z0-9+/]{60,}={0,2}",
    "shopify": r"shp(?:at|ca|pa|ss|ua)_[a-fA-F0-9]{32}",
    "easypost": r"EZ[AT]K[A-Za-z0-9]{54}",
    "shippo": r"shippo_(?:live|test)_[a-f0-9]{40}",
    "duffel": r"duffel_(?:test|live)_[A-Za-z0-9_=-]{43}",
    "npm": r"npm_[A-Za-z0-9]{36}|:_authToken=[ ]?[A-Za-z0-9_-]{20,}",
    "pypi": r"pypi-AgE[A-Za-z0-9_-]{40,}",
    "rubygems": r"rubygems_[a-f0-9]{48}",
    "nuget": r"oy2[a-z0-9]{43}",
    "clojars": r"CLOJARS_[a-z0-9]{60}",
    "crates": r"cio[A-Za-z0-9]{32}",
    "docker": r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{27,}",
    "jfrog": r"AKC[A-Za-z0-9]{10,}|AP[A-F0-9][A-Za-z0-9]{8,}|cmVmdGtu[A-Za-z0-9]{56}",
    "sonar": r"sq[pua]_[a-f0-9]{40}",
    "buildkite": r"bkua_[a-f0-9]{40}",
    "circleci": r"CCIPAT_[A-Za-z0-9]{22}_[a-f0-9]{40}",
    "terraform": r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,70}",
    "vault": r"hv[sbr]\.[A-Za-z0-9_-]{24,300}",
    "pulumi": r"pul-[a-f0-9]{40}",
    "doppler": r"dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9._-]{40,44}",
    "one_password": r"ops_eyJ[A-Za-z0-9+/]{100,}={0,3}|A3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})-[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{5}",
    "age": r"AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}",
    "grafana": r"glc_[A-Za-z0-9+/]{32,400}={0,3}|glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}|eyJrIjoi[A-Za-z0-9]{70,400}={0,3}",
    "sentry": r"sntrys_eyJ[A-Za-z0-9+/=_-]{60,}|sntryu_[a-f0-9]{64}",
    "new_relic": r"NRAK-[A-Z0-9]{27}|NRJS-[a-f0-9]{19}|NRI[IQ]-[A-Za-z0-9-]{32}",
    "dynatrace": r"dt0[a-z]\d\d\.[A-Z0-9]{24}\.[A-Z0-9]{64}",
    "honeycomb": r"hc[abmx][a-z]{2}_[a-z0-9]{58}",
    "launchdarkly": r"(?:sdk|api|mob)-[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}",
    "linear": r"lin_(?:api|oauth)_[A-Za-z0-9]{40,64}",
    "notion": r"ntn_[A-Za-z0-9]{46}|secret_[A-Za-z0-9]{43}",
    "airtable": r"pat[A-Za-z0-9]{14}\.[a-f0-9]{64}",
    "figma": r"fig[duo]_[A-Za-z0-9_-]{40,}",
    "typeform": r"tfp_[A-Za-z0-9_.=-]{59}",
    "postman": r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}",
    "hubspot": r"pat-(?:na|eu)\d-[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}",
    "contentful": r"CFPAT-[A-Za-z0-9_-]{43}",
    "dropbox": r"sl\.(?:u\.)?[A-Za-z0-9_=-]{120,}",
    "facebook": r"EAA[A-Z][A-Za-z0-9]{60,}|\d{15,16}(?:\||%)[A-Za-z0-9_-]{27,40}",
    "twitter": r"A{22}[A-Za-z0-9%]{80,100}",
    "mapbox": r"(?:pk|sk)\.eyJ[A-Za-z0-9_-]{50,}\.[A-Za-z0-9_-]{20,}",
    "openshift": r"sha256~[A-Za-z0-9_-]{43}",
    "tailscale": r"tskey-[a-z]{3,10}-[A-Za-z0-9-]{16,}",
    "prefect": r"pn[ub]_[a-zA-Z0-9]{36}",
    "readme": r"rdme_[a-z0-9]{70}",
    "frameio": r"fio-u-[A-Za-z0-9_=-]{64}",
    "infracost": r"ico-[A-Za-z0-9]{32}",
    "octopus": r"API-[A-Z0-9]{26}",
    "harness": r"(?:pat|sat)\.[A-Za-z0-9_-]{22}\.[a-f0-9]{24}\.[A-Za-z0-9]{20}",
    "maxmind": r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk",
    "trello": r"ATTA[a-f0-9]{60,}",
    "zapier_webhook": r"hooks\.zapier\.com/hooks/catch/\d+/[a-z0-9]{5,}",
    "polar": r"polar_(?:oat|pat|sat)_[A-Za-z0-9]{30,}",
    "onesignal": r"os_v2_(?:app|org)_[a-z0-9]{50,}",
    "intra42": r"s-s4t2(?:ud|af)-[a-f0-9]{64}",
    "settlemint": r"sm_(?:aat|pat|sat)_[A-Za-z0-9]{16}",
    "defined": r"dnkey-[a-z0-9=_-]{26}-[a-z0-9=_-]{52}",
    "sourcegraph": r"sgp_(?:[a-fA-F0-9]{16}_|local_)?[a-fA-F0-9]{40}",
    "beamer": r"b_[a-z0-9=_-]{44}",
    "stytch": r"secret-(?:live|test)-[A-Za-z0-9_=-]{36,}",
}

# What no word ends in: such a token is one behind letters too (`key_sk-proj-...`).
_UNLIKE_WORDS = """
openai anthropic openrouter langfuse groq nvidia hugging_face together pinecone langsmith aws_access_key google_api digitalocean planetscale databricks
github gitlab bitbucket atlassian slack shopify npm pypi rubygems sentry new_relic linear postman
"""
_GLUED = frozenset(_UNLIKE_WORDS.split())


def token(match: re.Match[str]) -> Tier | None:
    """Check a token: fillers and examples of documentation are none."""
    text = match[0]
    filler = len(text) < _LONG_CHARS and _PLACEHOLDER.search(text)
    if filler or checks.is_sequential(text) or checks.entropy(text) < _MIN_ENTROPY_BITS or _FILE.match(checks.after(match, 6)):
        return None
    return None if is_published(text.removeprefix("AccountKey=")) else Tier.HARD


PATTERNS = tuple(
    Pattern("api_key", rf"(?:{expression})", re.compile(rf"{'' if name in _GLUED else _APART}(?:{expression})(?![A-Za-z0-9_~-])"), token, behind=320, ahead=320)
    for name, expression in TOKENS.items()
)
