/** Shows the people and keys of a workspace, to those who may see them. */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { api, type Link, type Member } from "../api.ts";
import type { App } from "../app.ts";
import type { Role, Workspace } from "../protocol.ts";
import { said } from "../signing.ts";
import { useStore } from "../store.ts";
import { Dialog, Told } from "./dialog.tsx";
import { KeyList } from "./keylist.tsx";

const ROLES: Role[] = ["owner", "admin", "member", "viewer"];
const WHAT: Record<Role, string> = {
  owner: "everything, the workspace too",
  admin: "members, keys and shared machines",
  member: "opens sessions, adds machines",
  viewer: "sees and watches",
};

type Asked = null | { what: "invite" } | { what: "link"; link: Link } | { what: "remove"; member: Member };

export function Team({ app }: { app: App }): JSX.Element {
  const { workspace } = useStore(app.view);
  if (!workspace) return <main class="plain" />;
  const manages = workspace.role === "owner" || workspace.role === "admin";
  return (
    <main class="plain" key={workspace.id}>
      <h1>{workspace.name}</h1>
      <Members app={app} workspace={workspace} manages={manages} />
      {manages && <KeyList app={app} workspace={workspace} />}
    </main>
  );
}

function Members({ app, workspace, manages }: { app: App; workspace: Workspace; manages: boolean }): JSX.Element {
  const [members, setMembers] = useState<Member[]>([]);
  const [problem, setProblem] = useState<string | null>(null);
  const [asked, setAsked] = useState<Asked>(null);
  const close = (): void => setAsked(null);
  const grantable = ROLES.filter((role) => role !== "owner" || workspace.role === "owner");
  const load = (): Promise<void> =>
    api.members(workspace.id).then(
      (found) => setMembers(found.members),
      (error: unknown) => setProblem(said(error)),
    );
  useEffect(() => void load(), [workspace.id]);
  const setRole = (member: Member, role: Role): void =>
    void api
      .setRole(workspace.id, member.user.id, role)
      .catch((error: unknown) => app.tell(said(error)))
      .then(load);
  return (
    <section aria-labelledby="members">
      <div class="section-head">
        <h2 id="members">Members</h2>
        {manages && (
          <button type="button" class="button" onClick={() => setAsked({ what: "invite" })}>
            Invite…
          </button>
        )}
      </div>
      {problem && <p class="problem">{problem}</p>}
      <ul class="people">
        {members.map((member) => (
          <MemberItem
            key={member.user.id}
            member={member}
            me={member.user.id === app.me?.user.id}
            grantable={manages && (member.role !== "owner" || workspace.role === "owner") ? grantable : []}
            setRole={(role) => setRole(member, role)}
            remove={() => setAsked({ what: "remove", member })}
          />
        ))}
      </ul>
      {asked?.what === "invite" && (
        <Invite
          workspace={workspace}
          grantable={grantable}
          made={(link) => setAsked({ what: "link", link })}
          close={close}
        />
      )}
      {asked?.what === "link" && (
        <Told
          title="Invitation link"
          text="Give this link to one person. It works once, within seven days, and is not shown again."
          value={asked.link.url}
          close={close}
        />
      )}
      {asked?.what === "remove" && (
        <Remove app={app} workspace={workspace} member={asked.member} done={load} close={close} />
      )}
    </section>
  );
}

interface MemberProps {
  member: Member;
  me: boolean;
  grantable: Role[]; // empty: somebody else's to change
  setRole: (role: Role) => void;
  remove: () => void;
}

function MemberItem({ member, me, grantable, setRole, remove }: MemberProps): JSX.Element {
  const { name } = member.user;
  return (
    <li class="person">
      <span class="person-name">
        {name}
        {me && <span class="quiet"> (you)</span>}
      </span>
      {grantable.length === 0 ? (
        <span class="quiet">{member.role}</span>
      ) : (
        <select
          class="select"
          aria-label={`Role of ${name}`}
          value={member.role}
          onChange={(event) => setRole(event.currentTarget.value as Role)}
        >
          {grantable.map((role) => (
            <option key={role} value={role}>
              {role}
            </option>
          ))}
        </select>
      )}
      {(me || grantable.length > 0) && (
        <button type="button" class="button small" aria-label={me ? "Leave" : `Remove ${name}`} onClick={remove}>
          {me ? "Leave" : "Remove"}
        </button>
      )}
    </li>
  );
}

interface InviteProps {
  workspace: Workspace;
  grantable: Role[];
  made: (link: Link) => void;
  close: () => void;
}

function Invite({ workspace, grantable, made, close }: InviteProps): JSX.Element {
  const confirm = async (fields: FormData): Promise<void> => {
    const link = await api.invite(workspace.id, String(fields.get("role")) as Role);
    setTimeout(() => made(link)); // after this dialog has closed
  };
  return (
    <Dialog title={`Invite somebody to ${workspace.name}`} action="Make a link" confirm={confirm} close={close}>
      <fieldset class="choices">
        <legend>As</legend>
        {grantable.map((role) => (
          <label key={role} class="choice">
            <input type="radio" name="role" value={role} defaultChecked={role === "member"} />
            <span>
              {role} <span class="quiet">{WHAT[role]}</span>
            </span>
          </label>
        ))}
      </fieldset>
    </Dialog>
  );
}

interface RemoveProps {
  app: App;
  workspace: Workspace;
  member: Member;
  done: () => Promise<void>;
  close: () => void;
}

function Remove({ app, workspace, member, done, close }: RemoveProps): JSX.Element {
  const me = member.user.id === app.me?.user.id;
  const confirm = async (): Promise<void> => {
    await api.removeMember(workspace.id, member.user.id);
    if (me) await app.start();
    else await done();
  };
  return (
    <Dialog
      title={me ? `Leave ${workspace.name}?` : `Remove ${member.user.name}?`}
      action={me ? "Leave" : "Remove"}
      danger
      confirm={confirm}
      close={close}
    >
      <p>
        {me ? "Your" : "Their"} private machines here are revoked, shared ones pass to the owner of the workspace, and
        open sessions are closed at once.
      </p>
    </Dialog>
  );
}
