"""Signing in and out, and who one is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from monitor.config.web import Role
from monitor.web.answers import Caller, answer
from monitor.web.credentials import LONGEST
from monitor.web.doorkeeper import Doorkeeper, RefusedError, Visitor
from monitor.web.gate import SESSION, address_of, refused_answer, session_cookie

_PAGE = Path(__file__).with_name("static") / "login.html"


class SignIn(BaseModel):
    """Name and password."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: Annotated[str, Field(min_length=1, max_length=64)]
    password: Annotated[SecretStr, Field(min_length=1, max_length=LONGEST)]


def visitor_of(request: Request) -> Visitor | None:
    """Who asks, as the gate found out."""
    visitor = request.state.visitor
    assert visitor is None or isinstance(visitor, Visitor)
    return visitor


def actor_of(request: Request) -> str:
    """Who acts, for the audit log; the gate lets nobody act whom it does not know."""
    visitor = visitor_of(request)
    assert visitor is not None
    return visitor.name


def add_signin(app: FastAPI, keeper: Doorkeeper) -> None:
    """Add the sign-in page and /api/session."""

    @app.get("/login", include_in_schema=False)
    def page(request: Request) -> Response:
        if not keeper.config.closed or visitor_of(request) is not None:
            return RedirectResponse("/", 303)
        return FileResponse(_PAGE)

    @app.get(SESSION, summary="Who asks, and what they may do", response_model=Caller)
    def who(request: Request) -> Response:
        return _tell(keeper, visitor_of(request))

    @app.post(SESSION, summary="Sign in: begins a session, kept in a cookie", response_model=Caller)
    async def sign_in(request: Request, given: SignIn) -> Response:
        password, address = given.password.get_secret_value(), address_of(request)
        try:
            visitor = await keeper.sign_in(given.name, password, address)
        except RefusedError as refused:
            return refused_answer(refused)
        told = _tell(keeper, visitor)
        told.headers["Set-Cookie"] = session_cookie(request, keeper, visitor)
        return told

    @app.delete(SESSION, summary="Sign out", status_code=204)
    async def sign_out(request: Request) -> Response:
        visitor = visitor_of(request)
        if visitor is not None and visitor.session is not None:
            await keeper.sign_out(visitor.session, address_of(request))
        return Response(
            status_code=204, headers={"Set-Cookie": session_cookie(request, keeper, None)}
        )


def _tell(keeper: Doorkeeper, visitor: Visitor | None) -> Response:
    return answer(
        Caller(
            closed=keeper.config.closed,
            name=visitor.name if visitor else None,
            role=visitor.role if visitor else None,
            may_act=visitor is not None and visitor.role is Role.OPERATOR,
        )
    )
