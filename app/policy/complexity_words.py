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
reasoning: análisis analiza analizar razona raíz raisonne raisonner compromis kompromisse begründen analysieren vergleichen beweisen verify evidence
    synthesized tradeoff analyze analyse analysis evaluate compare contrast tradeoffs justify critique critically implications hypothesis hypotheses
    prove proof proofs derive derivation deduce deductive inductive abductive infer argue argument assess reason reasoning optimal optimize optimise
    synthesize reconcile diagnose diagnosing rigorous rigorously causes cause strategy strategies verdict competing counterexample why explain
    analysiere vergleiche begründe beweise analyser comparer justifier prouver comparar justificar demostrar
building: arquitectura detallada detallado architektur entwerfen entwickeln erstelle detaillierte gründliche architecture sistema système conçois
    migración verteiltes design implement build develop architect plan migrate migration refactor simulate propose outline runbook pipeline system
    systems workflow framework roadmap phased rollout redesign automate investigate troubleshoot deploy integrate orchestrate comprehensive detailed
    production entwirf entwickle plane développe planifie diseña desarrolla planifica
writing: write create compose generate draft story essay blog email poem script tagline slogan rewrite schreibe écris rédige escribe redacta
constraints: don't must shall without within ensure except exactly only minimum maximum constraint constraints required requirements requirement limit
    avoid never always guarantee subject preserving criteria not no neither nor cannot muss ohne genau mindestens höchstens doit sans exactement debe
    sin exactamente
technical: distributed consensus concurrency concurrent deadlock latency throughput scalability scalable sharding replication consistency idempotent
    idempotency microservice microservices encryption authentication authorization kernel compiler protocol cryptography quantum relativity
    thermodynamics genome protein pathophysiology pharmacology differential diagnosis indemnity liability jurisdiction regulatory compliance statute
    plaintiff defendant tort monetary fiscal econometric equilibrium epistemology ontology deontology utilitarianism neural transformer gradient
    bayesian stochastic asymptotic invariant undecidable np
simple: what's brièvement kurz brevemente hi hello hey thanks thank bye goodbye ok okay yes define definition translate synonym antonym spell capital
    briefly brief short quick quickly simple simply tldr concise concisely summarize summarise uppercase lowercase list name hallo danke bonjour merci
    hola gracias
"""
_CONTINUATIONS = """
yes y yeah yep ok okay sure go on continue more again please proceed next do it and then keep going ahead thanks great good right correct perfect ja
weiter bitte oui vas-y sí si sigue adelante 继续 好 好的 是
"""

WORDS = {name: frozenset(words.split()) for name, words in re.findall(r"^(\w+): ([^:]*)$(?=\n\w+:|\n\Z)", _LISTS, re.MULTILINE)}
CONTINUATIONS = frozenset(_CONTINUATIONS.split())

# By the word that must stand in the text before the phrase is looked for.
_PHRASES = """
reasoning: step=step by step, root=root cause, cons=pros and cons, principles=first principles, would=how would, happen=what would happen,
    multiple=from multiple paso=paso a paso, schritt=schritt für schritt, étape=étape par étape
building: end=end to end, downtime=zero-downtime, scratch=from scratch, region=multi-region
constraints: least=at least, most=at most, more=no more than, do=do not, sure=make sure
simple: what=what is, who=who is, who=who was, did=when did, when=when was, where=where is, many=how many, old=how old, sentence=one sentence,
    sentence=in a sentence yes=yes or no, true=true or false, capital=capital of, was=was ist, est=qu'est-ce que, qué=qué es
"""
PHRASES: dict[str, list[tuple[str, str]]] = {}  # word -> (phrase, signal)
for _signal, _listed in re.findall(r"^(\w+): ([^:]*)$(?=\n\w+:|\n\Z)", _PHRASES, re.MULTILINE):
    for _entry in re.split(r",\s*|\n\s*", _listed):
        _word, _, _phrase = _entry.partition("=")
        PHRASES.setdefault(_word, []).append((_phrase, _signal))

IDEOGRAPHIC = {
    "reasoning": ("分析", "比较", "证明", "推导", "权衡", "逐步", "审查", "根本原因", "比較", "段階的"),
    "building": ("架构", "设计", "实现", "方案", "アーキテクチャ", "設計", "迁移"),
    "constraints": ("必须", "至少", "不超过", "保证"),
    "simple": ("什么是", "是什么", "你好", "翻译", "简单", "簡潔"),
}
