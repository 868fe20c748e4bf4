"""Rows to put into a store."""

from atoll.model.containers import Container, ContainerStatus
from atoll.model.files import ContainerFile, File
from atoll.model.ids import (
    ContainerFileId,
    ContainerId,
    FileId,
    IdGenerator,
    KeyId,
    ProjectId,
    SandboxId,
    created_at,
)
from atoll.model.memory_limit import MemoryLimit
from atoll.model.network_policy import NetworkPolicy
from atoll.model.projects import Key, Project
from atoll.store import containers, projects
from atoll.store.database import Database

IDS = IdGenerator()


async def add_project(database: Database, name: str) -> ProjectId:
    project = Project(id=ProjectId(IDS.new("proj_")), name=name, created_at=1)
    await database.write(lambda connection: projects.add(connection, project))
    return project.id


def a_container(project_id: ProjectId, **fields: object) -> Container:
    container_id = ContainerId(IDS.new("cntr_"))
    values = {
        "id": container_id,
        "project_id": project_id,
        "name": "c",
        "created_at": created_at("cntr_", container_id),
        "last_active_at": 1000,
        "expires_after_minutes": 20,
        "memory_limit": MemoryLimit.FOUR_GIB,
        "network_policy": NetworkPolicy("allowlist", ("a.example", "b.example")),
        "status": ContainerStatus.RUNNING,
        "sandbox_id": SandboxId(IDS.new("sbx_")),
    }
    return Container(**(values | fields))  # type: ignore[arg-type] # the fields of Container, by name


async def add_container(database: Database, project_id: ProjectId, **fields: object) -> Container:
    container = a_container(project_id, **fields)
    await database.write(lambda connection: containers.add(connection, container))
    return container


def a_container_file(container_id: ContainerId, path: str, size: int = 1) -> ContainerFile:
    file_id = ContainerFileId(IDS.new("cfile_"))
    return ContainerFile(id=file_id, container_id=container_id, path=path, bytes=size, created_at=1, source="assistant")


def a_file(project_id: ProjectId, *, purpose: str = "user_data", expires_at: int | None = None) -> File:
    return File(
        id=FileId(IDS.new("file-")),
        project_id=project_id,
        filename="a.txt",
        purpose=purpose,
        bytes=3,
        created_at=1,
        expires_at=expires_at,
    )


def a_key(project_id: ProjectId) -> Key:
    return Key(id=KeyId(IDS.new("key_")), project_id=project_id, name="k", hint="h", created_at=1, revoked_at=None)
