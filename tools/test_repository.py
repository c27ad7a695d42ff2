"""The rules that the whole repository keeps; `repository.py`, `form.py`, `imports.py` and `links.py`
say what each one is.
"""

import pytest

from scratch_llm_tools import form, imports, repository
from scratch_llm_tools.links import link_problems
from scratch_llm_tools.notebooks import ROOT, repository_files
from scratch_llm_tools.processes import run_without

RULES = {
    "links_and_pictures_lead_somewhere": link_problems,
    "no_path_of_a_machine": repository.machine_path_problems,
    "no_large_files": repository.size_problems,
    "named_folders_hold_modules": repository.package_problems,
    "commands_of_the_readmes_exist": repository.command_problems,
    "readmes_show_the_rooms": repository.room_problems,
    "notebook_cells_are_short": repository.cell_length_problems,
    "notebooks_are_stored_as_executed": repository.stored_notebook_problems,
    "previous_chapters_only_re_exports": repository.door_problems,
    "chapters_import_earlier_chapters_only": repository.import_problems,
    "one_home_for_each_concept": repository.home_problems,
    "lines_are_short": form.line_problems,
    "functions_fit_a_screen": form.function_problems,
    "no_comment_silences_a_tool": form.silencing_problems,
    "earlier_chapters_through_the_door": imports.past_the_door_problems,
    "no_circles_at_load": imports.load_circle_problems,
    "no_circles_at_all": imports.circle_problems,
    "no_bonus_behind_a_main_chapter": imports.bonus_problems,
    "re_exports_are_used": imports.unused_door_problems,
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_rule(rule):
    problems = rule(ROOT, repository_files(ROOT))
    assert not problems, "\n" + "\n".join(problems)


def test_what_scripts_need_before_torch_does_not_load_it(tmp_path):
    course = imports.Course(ROOT, repository_files(ROOT))
    names = ", ".join(
        sorted({course.module_of(one.source) for one in imports.past_the_door(course)})
    )
    assert "ch05_01_main_chapter_code.run_folders" in names
    code = f"import conftest\nimport {names}"  # the former for a clone that was not installed
    result = run_without(tmp_path / "none", "-c", code, packages=["torch"], cwd=ROOT)
    assert result.returncode == 0, result.stderr
