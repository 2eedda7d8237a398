"""The first plan: FastAPI, SQLModel and asyncpg; PyJWT, since its python-jose cannot verify EdDSA."""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

import jwt
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Column, DateTime
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlmodel import Field, SQLModel, desc, select
from sqlmodel.ext.asyncio.session import AsyncSession

URL = os.environ["BETTER_AUTH_URL"]
keys = jwt.PyJWKClient(f"{URL}/api/auth/jwks")
engine = create_async_engine(
    os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://"), pool_size=20, max_overflow=0
)
new_session = async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)


def now() -> datetime:
    return datetime.now(UTC)


class TaskIn(SQLModel):
    title: str = Field(min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=5000)
    completed: bool = False


class Task(TaskIn, table=True):
    __tablename__ = "tasks_task"

    id: int | None = Field(default=None, primary_key=True)
    user_id: str = Field(index=True, max_length=255)
    created_at: datetime = Field(default_factory=now, sa_column=Column(DateTime(timezone=True), nullable=False))
    updated_at: datetime = Field(default_factory=now, sa_column=Column(DateTime(timezone=True), nullable=False))


class TaskOut(TaskIn):
    id: int
    user_id: str
    created_at: datetime
    updated_at: datetime


async def get_session() -> AsyncIterator[AsyncSession]:
    async with new_session() as session:
        yield session


async def get_owner(
    user_id: str, token: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]
) -> str:
    """The token's subject, which must be the user in the path."""
    raw = token.credentials if token else ""
    try:
        key = keys.get_signing_key_from_jwt(raw)
        required = {"require": ["exp", "sub"]}
        claims = jwt.decode(raw, key, algorithms=["EdDSA"], issuer=URL, audience=URL, options=required)
    except jwt.PyJWTError:
        raise HTTPException(401, "Invalid token", {"WWW-Authenticate": "Bearer"}) from None
    if claims["sub"] != user_id:
        raise HTTPException(403, "Not your tasks")
    return user_id


Session = Annotated[AsyncSession, Depends(get_session)]
Owner = Annotated[str, Depends(get_owner)]


async def get_own_task(task_id: int, owner: Owner, session: Session) -> Task:
    task = (await session.exec(select(Task).where(Task.id == task_id, Task.user_id == owner))).one_or_none()
    if task is None:
        raise HTTPException(404, "Task not found")
    return task


OwnTask = Annotated[Task, Depends(get_own_task)]
router = APIRouter(prefix="/api/{user_id}/tasks")


@router.get("", response_model=list[TaskOut])
async def list_tasks(owner: Owner, session: Session, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[Task]:
    query = select(Task).where(Task.user_id == owner).order_by(desc(Task.created_at), desc(Task.id)).limit(limit)
    return list((await session.exec(query)).all())


@router.post("", response_model=TaskOut, status_code=201)
async def create_task(body: TaskIn, owner: Owner, session: Session) -> Task:
    task = Task(**body.model_dump(), user_id=owner)
    session.add(task)
    await session.commit()
    return task


@router.get("/{task_id}", response_model=TaskOut)
async def read_task(task: OwnTask) -> Task:
    return task


@router.put("/{task_id}", response_model=TaskOut)
async def update_task(body: TaskIn, task: OwnTask, session: Session) -> Task:
    task.sqlmodel_update(body.model_dump(exclude_unset=True), update={"updated_at": now()})
    await session.commit()
    return task


@router.delete("/{task_id}", status_code=204)
async def delete_task(task: OwnTask, session: Session) -> None:
    await session.delete(task)
    await session.commit()


@router.patch("/{task_id}/complete", response_model=TaskOut)
async def complete_task(task: OwnTask, session: Session) -> Task:
    task.sqlmodel_update({"completed": not task.completed, "updated_at": now()})
    await session.commit()
    return task


app = FastAPI()
app.include_router(router)
