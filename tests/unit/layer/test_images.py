import json
from pathlib import Path

import pytest
from image_workshop import Workshop

from cutaway.errors import BadInputError, ConflictError, CutawayError, NotFoundError
from cutaway.oci.image import History, ImageConfig
from cutaway.store.images import Use

CONTAINER = "c" * 64


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop.at(tmp_path)


def index_of(shop: Workshop) -> dict[str, str]:
    """Name -> digest, as another tool reads it from the layout."""
    data = json.loads((shop.content.root / "index.json").read_text())
    return {m["annotations"]["org.opencontainers.image.ref.name"]: m["digest"] for m in data["manifests"]}


def test_an_image_is_found_by_name_id_and_beginning(shop: Workshop):
    image = shop.image("web", a="1")
    for text in (
        "web",
        "web:latest",
        image.id,
        image.id.hex,
        image.id[:30],
        image.id.short,
        f"web@{image.manifest}",
    ):
        assert shop.images.resolve(text) == image
    assert image.names == ("web:latest",)
    assert image.size == 1


def test_an_unknown_image_is_named_with_its_tag(shop: Workshop):
    with pytest.raises(NotFoundError) as caught:
        shop.images.resolve("nothing")
    assert caught.value.message == "No such image: nothing:latest"


def test_an_ambiguous_beginning_is_refused(shop: Workshop):
    for number in range(17):  # of 17 ids two begin with the same digit
        shop.image(f"i{number}", f=str(number))
    ids = [image.id.hex for image in shop.images.list()]
    twice = next(digit for digit in "0123456789abcdef" if sum(i.startswith(digit) for i in ids) > 1)
    with pytest.raises(BadInputError, match="ambiguous"):
        shop.images.resolve(f"sha256:{twice}")


def test_tagging_moves_a_name_and_the_layout_follows(shop: Workshop):
    first, second = shop.image("web", a="1"), shop.image("other", a="2")
    shop.images.tag("other", "web")
    assert shop.images.resolve("web").id == second.id
    assert shop.images.get(first.id).dangling
    assert index_of(shop) == {"other:latest": second.manifest, "web:latest": second.manifest}


def test_the_layout_follows_a_removal(shop: Workshop):
    shop.image("web", a="1")
    shop.images.remove("web")
    assert index_of(shop) == {}


def test_an_image_whose_config_lists_other_layers_is_refused(shop: Workshop):
    layer = shop.layer(a="1")
    with pytest.raises(BadInputError, match="does not list the layers"):
        shop.images.add(ImageConfig().encode(), [layer])


def test_an_image_of_a_layer_that_is_gone_is_refused(shop: Workshop):
    layer = shop.layer(a="1")
    shop.layers.remove(layer.diff_id)
    with pytest.raises(CutawayError, match="is not here"):
        shop.images.add(ImageConfig(), [layer], ["web"])
    assert shop.images.list() == []


def test_removing_the_last_name_removes_the_image_and_its_files(shop: Workshop):
    image = shop.image("web", "web:2", a="1")
    assert shop.images.remove("web") == [{"Untagged": "web:latest"}]
    assert shop.images.remove("web:2") == [
        {"Untagged": "web:2"},
        {"Deleted": image.id},
        {"Deleted": image.layers[0]},
    ]
    assert shop.on_disk() == set()


def test_layers_of_another_image_stay(shop: Workshop):
    base = shop.image("base", a="1")
    child = shop.image("child", parent=base, b="2")
    shop.images.remove("child")
    assert shop.images.resolve("base").layers == base.layers
    assert shop.layers.exists(base.layers[0])
    assert not shop.layers.exists(child.layers[1])


def test_nameless_parents_go_with_their_child_and_named_ones_stay(shop: Workshop):
    base = shop.image("base", a="1")
    middle = shop.image(parent=base, b="2")
    top = shop.image("top", parent=middle, c="3")
    deleted = [done["Deleted"] for done in shop.images.remove("top") if "Deleted" in done]
    assert deleted == [top.id, top.layers[2], middle.id, middle.layers[1]]
    assert [image.id for image in shop.images.list(all=True)] == [base.id]


def test_noprune_leaves_the_parents(shop: Workshop):
    middle = shop.image(a="1")
    shop.image("top", parent=middle, b="2")
    shop.images.remove("top", prune=False)
    assert [image.id for image in shop.images.list(all=True)] == [middle.id]


def test_an_image_in_use_keeps_its_last_name(shop: Workshop):
    image = shop.image("web", a="1")
    shop.uses[image.id] = [Use(CONTAINER, running=False)]
    with pytest.raises(ConflictError) as caught:
        shop.images.remove("web")
    assert caught.value.message == (
        'conflict: unable to remove repository reference "web" (must force) - '
        f"container {CONTAINER[:12]} is using its referenced image {image.id.short}"
    )
    assert shop.images.remove("web", force=True) == [{"Untagged": "web:latest"}]
    assert shop.images.get(image.id).dangling
    assert shop.layers.exists(image.layers[0])


@pytest.mark.parametrize("force", [False, True])
def test_an_image_of_a_running_container_cannot_be_deleted(shop: Workshop, force: bool):
    image = shop.image("web", a="1")
    shop.uses[image.id] = [Use(CONTAINER, running=True)]
    with pytest.raises(ConflictError) as caught:
        shop.images.remove(image.id.short, force=force)
    assert caught.value.message == (
        f"conflict: unable to delete {image.id.short} (cannot be forced) - "
        f"image is being used by running container {CONTAINER[:12]}"
    )


def test_an_image_with_children_cannot_be_deleted_by_id(shop: Workshop):
    base = shop.image("base", a="1")
    shop.image("child", parent=base, b="2")
    with pytest.raises(ConflictError, match="image has dependent child images"):
        shop.images.remove(base.id, force=True)


def test_an_image_with_two_names_is_deleted_by_id_only_with_force(shop: Workshop):
    image = shop.image("a", "b", f="1")
    with pytest.raises(ConflictError, match=r"\(must be forced\) - image is referenced in multiple"):
        shop.images.remove(image.id)
    done = shop.images.remove(image.id, force=True)
    assert done[:2] == [{"Untagged": "a:latest"}, {"Untagged": "b:latest"}]


def test_what_is_held_stays_on_the_disk_until_the_hold_ends(shop: Workshop):
    image = shop.image("web", a="1")
    with shop.images.hold():
        shop.images.remove("web")
        assert shop.layers.exists(image.layers[0])
        again = shop.images.add(image.config, image.stack, ["back"])
    assert again.id == image.id
    assert shop.layers.exists(image.layers[0])
    shop.images.remove("back")
    assert shop.on_disk() == set()


def test_garbage_of_a_crash_is_collected(shop: Workshop):
    image = shop.image("web", a="1")
    before = shop.on_disk()
    shop.layer(b="never became an image")
    shop.images.collect_garbage()
    assert shop.on_disk() == before
    assert shop.images.resolve("web").id == image.id


def test_steps_between_are_listed_only_with_all_and_dangling_ones_always(shop: Workshop):
    step = shop.image(a="1")
    top = shop.image(parent=step, b="2")
    assert [image.id for image in shop.images.list()] == [top.id]
    assert {image.id for image in shop.images.list(all=True)} == {step.id, top.id}
    assert [i.id for i in shop.images.list(filters={"dangling": ["true"]})] == [top.id]


def test_lists_are_filtered_as_docker_does(shop: Workshop):
    old = shop.image("old:1", created="2020-01-01T00:00:00Z", a="1")
    new = shop.image("new:2", created="2022-01-01T00:00:00Z", a="2")
    images = shop.images
    assert [i.id for i in images.list()] == [new.id, old.id]
    images.tag("old:1", "another")
    assert [(i.id, i.names) for i in images.list(filters={"reference": ["ol*"]})] == [(old.id, ("old:1",))]
    assert [i.id for i in images.list(filters={"before": ["new:2"]})] == [old.id]
    assert [i.id for i in images.list(filters={"since": ["old:1"]})] == [new.id]
    assert images.list(filters={"label": ["made=there"]}) == []
    assert len(images.list(filters={"label": ["made"]})) == 2
    with pytest.raises(BadInputError, match="invalid filter 'size'"):
        images.list(filters={"size": ["1"]})


def test_history_names_the_steps_made_here_and_hides_the_others(shop: Workshop):
    base = shop.image("base", a="1")
    top = shop.image("top", parent=base, b="22")
    steps = [(s["Id"], s["CreatedBy"], s["Size"], s["Tags"]) for s in shop.images.history(top)]
    assert steps == [(top.id, "COPY b /", 2, ["top:latest"]), (base.id, "COPY a /", 1, ["base:latest"])]
    foreign = shop.images.add(top.config, top.stack, ["foreign"])
    assert foreign.id == top.id  # the same content is the same image, whoever made it


def test_history_without_a_parent_is_missing(shop: Workshop):
    layers = [shop.layer(a="1"), shop.layer(b="2")]
    history = [History(created_by="one"), History(created_by="ENV"), History(created_by="two")]
    history[1].empty_layer = True
    image = shop.images.add(ImageConfig(history=history), layers)
    steps = [(s["Id"], s["CreatedBy"], s["Size"]) for s in shop.images.history(image)]
    assert steps == [(image.id, "two", 1), ("<missing>", "ENV", 0), ("<missing>", "one", 1)]


def test_inspect_has_the_fields_that_clients_read(shop: Workshop):
    image = shop.image("web", a="1")
    data = json.loads(json.dumps(shop.images.inspect(image)))
    assert data["Id"] == image.id
    assert data["RepoTags"] == ["web:latest"]
    assert data["Created"] == "2024-05-06T07:08:09Z"
    assert data["Config"]["Cmd"] == ["/x"]
    assert data["RootFS"] == {"Type": "layers", "Layers": list(image.layers)}
    assert Path(data["GraphDriver"]["Data"]["UpperDir"], "a").read_text() == "1"
    assert data["Metadata"]["LastTagTime"] > "2024"


def test_names_and_images_are_there_after_a_restart(tmp_path: Path):
    image = Workshop.at(tmp_path).image("web", a="1")
    assert Workshop.at(tmp_path).images.resolve("web") == image
