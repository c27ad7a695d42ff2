"""The rules that the whole repository keeps; `tools/repository.py` and `tools/links.py` say what
each one is.
"""

import pytest

from scratch_llm_tools import repository
from scratch_llm_tools.links import link_problems
from scratch_llm_tools.notebooks import ROOT, repository_files

RULES = {
    "links_and_pictures_lead_somewhere": link_problems,
    "no_path_of_a_machine": repository.machine_path_problems,
    "no_large_files": repository.size_problems,
    "named_folders_hold_modules": repository.package_problems,
    "commands_of_the_readmes_exist": repository.command_problems,
    "notebook_cells_are_short": repository.cell_length_problems,
    "notebooks_are_stored_as_executed": repository.stored_notebook_problems,
    "previous_chapters_only_re_exports": repository.door_problems,
    "chapters_import_earlier_chapters_only": repository.import_problems,
    "one_home_for_each_concept": repository.home_problems,
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_rule(rule):
    problems = rule(ROOT, repository_files(ROOT))
    assert not problems, "\n" + "\n".join(problems)
