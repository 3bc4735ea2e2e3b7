"""Where providers come from."""

from __future__ import annotations

from pathlib import Path

from replay.terraform.providers import current_platform, find_mirrors, own_configuration, write_configuration


def mirror(folder: Path, platform: str) -> Path:
    (folder / "registry.terraform.io" / "hashicorp" / "aws" / "5.100.0" / platform).mkdir(parents=True)
    return folder


def test_a_mirror_is_found_in_a_place_and_below_it(tmp_path: Path) -> None:
    flat = mirror(tmp_path / "flat", "linux_amd64")
    deep = mirror(tmp_path / "opt" / "vendor" / "plugins", "linux_amd64")
    too_deep = mirror(tmp_path / "opt" / "a" / "b" / "c", "linux_amd64")
    found = find_mirrors([flat, tmp_path / "opt", tmp_path / "nowhere"])
    assert found == [flat, deep]
    assert too_deep not in found


def test_what_the_mirror_holds_is_not_asked_of_the_registry(tmp_path: Path) -> None:
    folder = mirror(tmp_path / "mirror", current_platform())
    text = write_configuration(tmp_path / "rc", [folder], tmp_path / "cache").read_text()
    assert f'path    = "{folder}"' in text
    assert 'exclude = ["registry.terraform.io/hashicorp/aws"]' in text
    assert (tmp_path / "cache").is_dir()


def test_a_mirror_for_another_platform_is_of_no_use(tmp_path: Path) -> None:
    folder = mirror(tmp_path / "mirror", "plan9_mips")
    text = write_configuration(tmp_path / "rc", [folder], tmp_path / "cache").read_text()
    assert "filesystem_mirror" not in text
    assert "exclude = []" in text


def test_a_packed_mirror_is_found_too(tmp_path: Path) -> None:
    folder = tmp_path / "registry.terraform.io" / "hashicorp" / "aws"
    folder.mkdir(parents=True)
    (folder / f"terraform-provider-aws_5.100.0_{current_platform()}.zip").write_bytes(b"")
    assert "filesystem_mirror" in write_configuration(tmp_path / "rc", [tmp_path], tmp_path / "cache").read_text()


def test_a_configuration_of_the_users_own_stands(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    assert own_configuration({}, home) is None
    # The variable may name a file that does not exist: Terraform only warns, and we use ours.
    assert own_configuration({"TF_CLI_CONFIG_FILE": str(home / "gone")}, home) is None
    (home / ".terraformrc").write_text("")
    assert own_configuration({}, home) == home / ".terraformrc"
    (home / "mine").write_text("")
    assert own_configuration({"TF_CLI_CONFIG_FILE": str(home / "mine")}, home) == home / "mine"
