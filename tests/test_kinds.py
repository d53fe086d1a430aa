"""A kind is the name of the module that has its class: found without a list, and named in every message."""

import sys
from pathlib import Path
from textwrap import dedent
from typing import Annotated

import pytest
from pydantic import BaseModel, BeforeValidator, SerializeAsAny, ValidationError

from weightspace import ConfigError
from weightspace.nn import AbstractFamily, FlatFamily, PublishedFamily, ScaleFamily


class Holder(BaseModel):
    """Something with a family."""

    family: Annotated[SerializeAsAny[AbstractFamily], BeforeValidator(AbstractFamily.read)] = ScaleFamily()


@pytest.fixture
def strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder of somebody's modules, on the path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("their_families", "their_broken"):
        sys.modules.pop(name, None)


def test_kinds_are_found_by_the_names_of_their_modules():
    names = AbstractFamily.names()
    assert {"deepsets", "flat", "published", "scale", "statistics"} <= set(names)
    for name in names:
        assert AbstractFamily.of(name).model_fields["kind"].default == name


def test_data_are_read_as_their_kind_and_configurations_stay():
    assert AbstractFamily.read({"kind": "flat", "width": 8}) == FlatFamily(width=8)
    family = FlatFamily(depth=3)
    assert AbstractFamily.read(family) is family


def test_a_field_of_any_kind_writes_all_of_it():
    held = Holder.model_validate({"family": {"kind": "published", "preset": "mnist_edit", "rounds": 3}})
    assert held.family == PublishedFamily(preset="mnist_edit", rounds=3)
    assert Holder.model_validate_json(held.model_dump_json()) == held
    assert Holder().family == ScaleFamily()


def test_an_unknown_kind_gets_the_closest_one():
    with pytest.raises(ConfigError, match=r"unknown family of metanetworks 'scales'\. Did you mean 'scale'\?.*flat"):
        AbstractFamily.read({"kind": "scales"})


@pytest.mark.parametrize("kind", ["", "_interfaces", "scale._family", "no.such.thing", "../scale", "weightspace.nn"])
def test_what_is_no_kind_of_the_library_is_unknown(kind):
    with pytest.raises(ConfigError, match=r"unknown family.*Choose one of .*package\.module:Class"):
        AbstractFamily.of(kind)


@pytest.mark.parametrize("data", [{}, {"width": 8}, {"kind": None}, {"kind": 3}])
def test_data_without_a_kind_are_asked_for_one(data):
    with pytest.raises(ConfigError, match=r"needs its kind. Write kind: .*scale"):
        AbstractFamily.read(data)


def test_unknown_and_unfit_fields_are_refused():
    for data in ({"kind": "flat", "rounds": 2}, {"kind": "flat", "width": 0}, {"kind": "published", "preset": 3}, 7):
        with pytest.raises(ValidationError):
            Holder.model_validate({"family": data})


def test_a_class_of_another_package_is_its_path(strangers):
    text = """
        from typing import Literal
        from weightspace.nn import AbstractFamily, FlatFamily

        class Theirs(AbstractFamily):
            kind: Literal["their_families:Theirs"] = "their_families:Theirs"
            size: int = 1
            def functional(self, architecture, out):
                return FlatFamily().functional(architecture, out)
            def operator(self, architecture):
                return FlatFamily().operator(architecture)

        number = 3
    """
    (strangers / "their_families.py").write_text(dedent(text))
    found = AbstractFamily.read({"kind": "their_families:Theirs", "size": 4})
    assert (type(found).__name__, found.size) == ("Theirs", 4)
    assert AbstractFamily.read(found.model_dump(mode="json")) == found
    assert "their_families:Theirs" not in AbstractFamily.names()
    for name in ("Nobody", "number", "AbstractFamily"):
        with pytest.raises(ConfigError, match=f"unknown family of metanetworks 'their_families:{name}'"):
            AbstractFamily.of(f"their_families:{name}")


@pytest.mark.parametrize("where", ["no_such_module", "no_such.module", "their_broken", "", ".relative"])
def test_a_module_that_cannot_be_imported_says_where_to_put_it(where, strangers):
    (strangers / "their_broken.py").write_text("import no_such_dependency\n")
    with pytest.raises(ConfigError, match=r"cannot be imported.*put that folder into PYTHONPATH"):
        AbstractFamily.of(f"{where}:Class")
