"""The nouns of Hanse. Frozen values; this package imports nothing else of ours.

Import from the modules: `hanse.structs.job`, `.task`, `.service`, `.node`, `.allocation`,
`.evaluation`, `.deployment`, `.plan`, `.taskstate`, `.stats`, `.api`.
"""
