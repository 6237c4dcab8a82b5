"""What is recorded, as the facts and the words in which JSON, terminal, report and pages show it.

``words``       what people call things
``runs``        a run, and what it wrote
``lifecycles``  where a milestone stands, as both sides say it
``changes``     one field before and after
"""
