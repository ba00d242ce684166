"""The words behind each signal of complexity. English first; German, French, Spanish and Chinese where a word is plain.

A word counts once however often it stands: repeating it makes nothing harder, and sets are fast.
"""

from __future__ import annotations

import re

_LISTS = """
clauses: because although though while whereas since unless until if when which who whom whose however therefore but so where after before given
    assuming weil obwohl wenn während falls parce lorsque puisque afin porque aunque cuando mientras
quantities: each every half twice thrice times double triple remaining left total per altogether average percent percentage fraction third quarter
    fewer more less than both sum difference jede hälfte doppelt insgesamt chaque moitié cada mitad doble
mathematics: solve equation equations integral derivative matrix matrices vector polynomial theorem lemma prime primes modulo probability variance
    permutation permutations combinations logarithm eigenvalue inequality triangle radius perimeter volume velocity acceleration integer integers
    ratio geometry algebra calculus subgroup homomorphism isomorphic gcd factorial divisor divisible converge diverge sqrt hypotenuse differentiable
    gleichung wahrscheinlichkeit équation probabilité ecuación probabilidad
code: code python javascript typescript java rust golang sql regex html css api algorithm script function class compile debug bug stack traceback
    docker dockerfile kubernetes json yaml bash git async await endpoint recursion const return import struct null pointer array loop queue string c++
    c# database schema def elif println printf malloc lambda iterator
reasoning: analyze analyse analysis evaluate compare contrast tradeoff tradeoffs justify critique critically implications hypothesis hypotheses prove
    proof proofs derive derivation deduce deductive inductive abductive infer argue argument assess reason reasoning optimal optimize optimise
    synthesize reconcile diagnose diagnosing rigorous rigorously causes cause strategy strategies verdict competing counterexample why explain
    analysiere vergleiche begründe beweise analyser comparer justifier prouver analizar comparar justificar demostrar
building: design implement build develop architect architecture plan migrate migration refactor simulate propose outline runbook pipeline system
    systems workflow framework roadmap phased rollout redesign automate investigate troubleshoot deploy integrate orchestrate comprehensive detailed
    production entwirf entwickle plane conçois développe planifie diseña desarrolla planifica
writing: write create compose generate draft story essay blog email poem script tagline slogan rewrite schreibe écris rédige escribe redacta
constraints: must shall without within ensure except exactly only minimum maximum constraint constraints required requirements requirement limit avoid
    never always guarantee subject preserving criteria not no neither nor cannot muss ohne genau mindestens höchstens doit sans exactement debe sin
    exactamente
technical: distributed consensus concurrency concurrent deadlock latency throughput scalability scalable sharding replication consistency idempotent
    idempotency microservice microservices encryption authentication authorization kernel compiler protocol cryptography quantum relativity
    thermodynamics genome protein pathophysiology pharmacology differential diagnosis indemnity liability jurisdiction regulatory compliance statute
    plaintiff defendant tort monetary fiscal econometric equilibrium epistemology ontology deontology utilitarianism neural transformer gradient
    bayesian stochastic asymptotic invariant undecidable np
simple: hi hello hey thanks thank bye goodbye ok okay yes define definition translate synonym antonym spell capital briefly brief short quick quickly
    simple simply tldr concise concisely summarize summarise uppercase lowercase list name hallo danke bonjour merci hola gracias
"""
_CONTINUATIONS = """
yes y yeah yep ok okay sure go on continue more again please proceed next do it and then keep going ahead thanks great good right correct perfect ja
weiter bitte oui vas-y sí si sigue adelante 继续 好 好的 是
"""

WORDS = {name: frozenset(words.split()) for name, words in re.findall(r"^(\w+): ([^:]*)$(?=\n\w+:|\n\Z)", _LISTS, re.MULTILINE)}
CONTINUATIONS = frozenset(_CONTINUATIONS.split())

PHRASES: dict[str, tuple[str, ...]] = {
    "reasoning": (
        "step by step", "trade-off", "root cause", "pros and cons", "first principles", "how would", "what would happen", "from multiple",
        "分析", "比较", "证明", "推导", "权衡", "逐步",
    ),
    "building": ("end to end", "zero-downtime", "from scratch", "multi-region", "rollback", "架构", "设计", "实现", "方案"),
    "constraints": ("at least", "at most", "no more than", "do not", "don't", "make sure", "必须", "至少", "不超过"),
    "simple": (
        "what is", "what's", "who is", "who was", "when did", "when was", "where is", "how many", "how old", "one sentence", "in a sentence", "yes or no",
        "true or false", "capital of", "什么是", "是什么", "你好", "翻译",
    ),
}  # fmt: skip
