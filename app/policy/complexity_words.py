"""The words behind each signal of complexity. English first; German, French, Spanish and Chinese where a word is plain.

A word counts once however often it stands: repeating it makes nothing harder, and sets are fast.
"""

from __future__ import annotations

import re

_LISTS = """
clauses: because although though while whereas since unless until if when which who whom whose however therefore but so where after before given assuming
    weil obwohl wenn während falls parce lorsque puisque afin porque aunque cuando mientras damit sodass nachdem bevor obgleich deshalb jedoch allerdings
    welche welcher sowie quand donc cependant lorsqu'il pourquoi dont tandis puisqu'il donde entonces además sino cuyo después antes
quantities: each every half twice thrice times double triple remaining left total per altogether average percent percentage fraction third quarter fewer
    more less than both sum difference jede hälfte doppelt insgesamt chaque moitié cada mitad doble jeder jedes dreifach viertel prozent übrig durchschnitt
    durchschnittlich chacun restant pourcentage quart tiers moyenne tercio cuarto restante porcentaje promedio
mathematics: solve equation equations integral derivative matrix matrices vector polynomial theorem lemma prime primes modulo probability variance
    permutation permutations combinations logarithm eigenvalue inequality triangle radius perimeter volume velocity acceleration integer integers ratio
    geometry algebra calculus subgroup homomorphism isomorphic gcd factorial divisor divisible converge diverge sqrt hypotenuse differentiable gleichung
    wahrscheinlichkeit équation probabilité ecuación probabilidad gleichungen ableitung matrizen wahrscheinlichkeiten beweis primzahl dreieck umfang fläche
    geschwindigkeit équations dérivée intégrale théorème matrice polynôme vitesse ecuaciones derivada matriz teorema polinomio triángulo velocidad
    integriere löse résous resuelve
code: code python javascript typescript java rust golang sql regex html css api algorithm script function class compile debug bug stack traceback docker
    dockerfile kubernetes json yaml bash git async await endpoint recursion const return import struct null pointer array loop queue string c++ c# database
    schema def elif println printf malloc lambda iterator funktion klasse skript fehler datenbank schnittstelle fonction classe requête función clase
    consulta algoritmo algorithmus algorithme datenbankschema
reasoning: análisis analiza analizar razona raíz raisonne raisonner compromis kompromisse begründen analysieren vergleichen beweisen verify evidence
    synthesized tradeoff analyze analyse analysis evaluate compare contrast tradeoffs justify critique critically implications hypothesis hypotheses prove
    proof proofs derive derivation deduce deductive inductive abductive infer argue argument assess reason reasoning optimal optimize optimise synthesize
    reconcile diagnose diagnosing rigorous rigorously causes cause strategy strategies verdict competing counterexample why explain analysiere vergleiche
    begründe beweise analyser comparer justifier prouver comparar justificar demostrar bewerte begründung ursache ursachen schlussfolgerung hypothese
    argumentiere abwägen evalúa evaluar compara justifica demuestra razonamiento hipótesis causas évalue évaluer justifie démontre démontrer raisonnement
    hypothèse explique erkläre explica warum porqué pourquoi
building: arquitectura detallada detallado architektur entwerfen entwickeln erstelle detaillierte gründliche architecture sistema système conçois migración
    verteiltes design implement build develop architect plan migrate migration refactor simulate propose outline runbook pipeline system systems workflow
    framework roadmap phased rollout redesign automate investigate troubleshoot deploy integrate orchestrate comprehensive detailed production entwirf
    entwickle plane développe planifie diseña desarrolla planifica implementiere implementieren entwurf migriere automatisiere baue implémente implémenter
    conception crée migre construis implementa implementar diseñar construye migra automatiza despliega
writing: write create compose generate draft story essay blog email poem script tagline slogan rewrite schreibe écris rédige escribe redacta schreib
    verfasse formuliere erzähle aufsatz gedicht geschichte rédiger écrire poème histoire lettre escribir redactar poema historia carta cuento ensayo
constraints: don't must shall without within ensure except exactly only minimum maximum constraint constraints required requirements requirement limit avoid
    never always guarantee subject preserving criteria not no neither nor cannot muss ohne genau mindestens höchstens doit sans exactement debe sin
    exactamente darf dürfen keine kein nicht nur immer niemals maximal minimal soll sollte doivent jamais toujours seulement uniquement obligatoire deben
    nunca siempre solamente únicamente máximo mínimo obligatorio
technical: distributed consensus concurrency concurrent deadlock latency throughput scalability scalable sharding replication consistency idempotent
    idempotency microservice microservices encryption authentication authorization kernel compiler protocol cryptography quantum relativity thermodynamics
    genome protein pathophysiology pharmacology differential diagnosis indemnity liability jurisdiction regulatory compliance statute plaintiff defendant
    tort monetary fiscal econometric equilibrium epistemology ontology deontology utilitarianism neural transformer gradient bayesian stochastic asymptotic
    invariant undecidable np verteilte verteilter nebenläufigkeit skalierbarkeit konsistenz verschlüsselung haftung rechtsprechung distribué concurrence
    cohérence chiffrement évolutivité juridiction distribuido distribuida concurrencia consistencia cifrado escalabilidad jurisdicción
simple: what's brièvement kurz brevemente hi hello hey thanks thank bye goodbye ok okay yes define definition translate synonym antonym spell capital
    briefly brief short quick quickly simple simply tldr concise concisely summarize summarise uppercase lowercase list name hallo danke bonjour merci hola
    gracias übersetze definiere nenne kurze traduis définis bref résume traduce buenos moin salut
"""
_CONTINUATIONS = """
yes y yeah yep ok okay sure go on continue more again please proceed next do it and then keep going ahead thanks great good right correct perfect ja
weiter bitte genau mach fahre fort gerne klar danke jawohl oui vas y
d'accord continue continuez merci ouais exactement sí si sigue adelante continúa vale claro hazlo gracias perfecto por favor
继续 继续吧 请继续 好 好的 是 是的 可以 对 行 嗯 下一步 谢谢
"""

WORDS = {name: frozenset(words.split()) for name, words in re.findall(r"^(\w+): ([^:]*)$(?=\n\w+:|\n\Z)", _LISTS, re.MULTILINE)}
CONTINUATIONS = frozenset(_CONTINUATIONS.split())

_PHRASES = """
reasoning: step by step, root cause, pros and cons, first principles, how would, what would happen, from multiple, paso a paso, schritt für schritt,
    étape par étape, pas à pas, vor- und nachteile, pour et contre, pros y contras
building: end to end, zero-downtime, from scratch, multi-region, von grund auf, à partir de zéro, desde cero
constraints: at least, at most, no more than, do not, make sure, nicht mehr als, au moins, au plus, al menos, como máximo
simple: what is, who is, who was, when did, when was, where is, how many, how old, one sentence, in a sentence, yes or no, true or false, capital of,
    was ist, wer ist, wie viele, qu'est-ce que, qui est, qué es, quién es, cuántos son
"""
PHRASES = {
    name: tuple(re.split(r",\s*", " ".join(phrases.split()))) for name, phrases in re.findall(r"^(\w+): ([^:]*)$(?=\n\w+:|\n\Z)", _PHRASES, re.MULTILINE)
}

IDEOGRAPHIC = {
    "clauses": ("因为", "虽然", "如果", "因此", "但是", "并且", "而且", "当"),
    "quantities": ("一共", "总共", "每个", "平均", "百分之", "剩下", "两倍"),
    "mathematics": ("方程", "积分", "导数", "矩阵", "概率", "定理", "几何", "求解"),
    "code": ("代码", "函数", "算法", "数据库", "接口", "调试", "编程", "脚本"),
    "writing": ("写一", "撰写", "作文", "故事", "诗", "邮件"),
    "technical": ("分布式", "一致性", "并发", "延迟", "加密", "微服务", "可扩展", "共识"),
    "reasoning": ("分析", "比较", "证明", "推导", "权衡", "逐步", "审查", "根本原因", "为什么", "解释", "论证", "评估", "推理", "比較", "段階的"),
    "building": ("架构", "设计", "实现", "方案", "系统", "开发", "部署", "规划", "アーキテクチャ", "設計", "迁移"),
    "constraints": ("必须", "至少", "不超过", "不能", "不得", "只能", "保证"),
    "simple": ("什么是", "是什么", "你好", "谢谢", "翻译", "列出", "总结", "简单", "簡潔"),
}
