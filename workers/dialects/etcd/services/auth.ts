/**
 * etcdserverpb.Auth: users who log in, and roles, as records of the namespace's policies.
 *
 * A role is a role, its permissions are statements; the role `root` is the policy that allows everything. A token from
 * Authenticate is a token like any other, whichever dialect it is shown to. Source: etcd's server/auth/store.go.
 */
import { HoldfastError } from "../../../../objects/errors.ts";
import { MANAGEMENT_ID } from "../../../../objects/policy/policies.ts";
import type { UserGrant, UserView } from "../../../../objects/policy/users.ts";
import { authorizerOf, hashOf, namespaceExists } from "../../../request/authorizer.ts";
import { sourceOf } from "../../../request/caller.ts";
import { hashPassword, isPassword } from "../../../request/passwords.ts";
import { GRPC } from "../../../tunnel/wire/status.ts";
import { freshToken, TOKEN_LIFE_MS } from "../auth/logins.ts";
import { ON_LEASES, permissionsOf, placeOf, statementOf } from "../auth/permissions.ts";
import type { Words } from "../auth/records.ts";
import { done, headerOf, inWords, namesIn, primaryClient, read, READING, write, WRITING } from "../auth/records.ts";
import type { Call } from "../call.ts";
import { EtcdError, refused, tooManyRequests, userNameIsEmpty } from "../errors.ts";
import type { Auth } from "../gen/etcdserverpb_pb.js";
import type { Implementation } from "../service.ts";

/** The name both of the user who has to be there and of the role that may do everything. */
const ROOT = "root";

export const auth: Implementation<typeof Auth> = {
  async authEnable(_request, call) {
    await call.authorize(() => WRITING);
    return done(
      call,
      "login.turnOn",
      { administrator: ROOT },
      {
        not_found: () => refused(GRPC.failedPrecondition, "root user does not exist"),
        conflict: () => refused(GRPC.failedPrecondition, "root user does not have root role"),
      },
    );
  },

  async authDisable(_request, call) {
    await call.authorize(() => WRITING);
    return done(call, "login.turnOff", {});
  },

  /** For everybody: it tells clients whether to log in. */
  async authStatus(_request, call) {
    if (!(await exists(call))) return { header: call.header(0), authRevision: 1n };
    const { isOn, changes } = await read(call, "login.state", {});
    return { header: await headerOf(call), enabled: isOn, authRevision: BigInt(changes) };
  },

  async authenticate({ name, password }, call) {
    const token = (await tokenOfUser(name, password, call)) ?? (await ownToken(password, call));
    if (token === null) throw authenticationFailed();
    return { header: await headerOf(call), token };
  },

  async userAdd({ name, password, options }, call) {
    await call.authorize(() => WRITING);
    if (name === "") throw userNameIsEmpty();
    const hashed = options?.noPassword ? null : await hashPassword(password);
    return done(
      call,
      "user.create",
      { name, password: hashed, statements: [...ON_LEASES] },
      {
        already_exists: () => refused(GRPC.failedPrecondition, "user name already exists"),
      },
    );
  },

  async userGet({ name }, call) {
    const { authorizer } = await call.identify();
    if (authorizer.login?.user !== name) await call.authorize(() => READING);
    const user = await read(call, "user.get", { name }, NO_USER);
    return { header: await headerOf(call), roles: roleNamesOf(user) };
  },

  async userList(_request, call) {
    await call.authorize(() => READING);
    return { header: await headerOf(call), users: await namesIn(call, "user.list") };
  },

  async userDelete({ name }, call) {
    await call.authorize(() => WRITING);
    return done(call, "user.delete", { name }, { ...NO_USER, unsupported: invalidManagement });
  },

  /** Of a user who has none it is still none. */
  async userChangePassword({ name, password }, call) {
    await call.authorize(() => WRITING);
    const { hasPassword } = await read(call, "user.get", { name }, NO_USER);
    const hashed = hasPassword ? await hashPassword(password) : null;
    return done(call, "user.setPassword", { name, password: hashed }, NO_USER);
  },

  async userGrantRole({ user, role }, call) {
    await call.authorize(() => WRITING);
    return done(call, "user.grant", grantOf(user, role), {
      not_found: (error) => (error.details?.["field"] === undefined ? noUser() : noRole()),
      invalid_argument: noRole,
    });
  },

  async userRevokeRole({ name, role }, call) {
    await call.authorize(() => WRITING);
    const { header, value } = await write(call, "user.revoke", grantOf(name, role), {
      ...NO_USER,
      unsupported: invalidManagement,
      invalid_argument: roleNotGranted,
    });
    if (!value.existed) throw roleNotGranted();
    return { header };
  },

  async roleAdd({ name }, call) {
    await call.authorize(() => WRITING);
    if (name === "") throw refused(GRPC.invalidArgument, "role name is empty");
    return done(
      call,
      "role.put",
      { name },
      {
        already_exists: () => refused(GRPC.failedPrecondition, "role name already exists"),
      },
    );
  },

  async roleGet({ role: name }, call) {
    if (!(await hasRole(name, call))) await call.authorize(() => READING);
    const { statements } = await read(call, "role.get", { name }, NO_ROLE);
    return { header: await headerOf(call), perm: permissionsOf(statements) };
  },

  async roleList(_request, call) {
    await call.authorize(() => READING);
    return { header: await headerOf(call), roles: await namesIn(call, "role.list") };
  },

  async roleDelete({ role: name }, call) {
    await call.authorize(() => WRITING);
    if (name === ROOT && (await read(call, "login.state", {})).isOn) throw invalidManagement();
    const { id } = await read(call, "role.get", { name }, NO_ROLE);
    return done(call, "role.delete", { id });
  },

  async roleGrantPermission({ name, perm }, call) {
    await call.authorize(() => WRITING);
    if (!perm) throw refused(GRPC.invalidArgument, "permission not given");
    return done(call, "role.grant", { name, statement: statementOf(perm) }, NO_ROLE);
  },

  async roleRevokePermission({ role: name, key, rangeEnd }, call) {
    await call.authorize(() => WRITING);
    const { header, value } = await write(call, "role.revoke", { name, place: placeOf(key, rangeEnd) }, NO_ROLE);
    if (!value.existed) throw refused(GRPC.failedPrecondition, "permission is not granted to the role");
    return { header };
  },
};

const noUser = (): EtcdError => refused(GRPC.failedPrecondition, "user name not found");
const noRole = (): EtcdError => refused(GRPC.failedPrecondition, "role name not found");
const roleNotGranted = (): EtcdError => refused(GRPC.failedPrecondition, "role is not granted to the user");
const invalidManagement = (): EtcdError => refused(GRPC.invalidArgument, "invalid auth management");
const notEnabled = (): EtcdError => refused(GRPC.failedPrecondition, "authentication is not enabled");
const authenticationFailed = (): EtcdError =>
  refused(GRPC.invalidArgument, "authentication failed, invalid user ID or password");
/** etcd has no code and no prefix for it. */
const noPasswordUser = (): EtcdError =>
  new EtcdError(GRPC.unknown, "auth: authentication failed, password was given for no password user");

const NO_USER: Words = { not_found: noUser };
const NO_ROLE: Words = { not_found: noRole };

/** Whoever has proven nothing must not bring a namespace into being. */
const exists = ({ env, namespace }: Call): Promise<boolean> => namespaceExists(env, namespace);

/** Of a user with this password; null = there is none, or it is another one. Codes: 2. */
async function tokenOfUser(name: string, password: string, call: Call): Promise<string | null> {
  if (!(await exists(call))) return null;
  const client = primaryClient(call);
  const { value, revision } = await client.query("user.credentials", { name });
  const { isOn, user, isHeldUp } = value;
  if (!isOn) return null;
  if (user && user.password === null) throw noPasswordUser();
  if (isHeldUp) {
    // All who are not there are counted together, and told apart from nobody: they are only not hashed for any more.
    if (user) throw tooManyRequests();
    return null;
  }
  if (!(await isPassword(password, user?.password ?? null)) || !user) {
    await client.guessedWrong(user?.id ?? null);
    return null;
  }
  const secret = freshToken(revision);
  const caller = { principal: `user:${name}`, source: sourceOf(call.request, call.env), dialect: "etcd" };
  const input = {
    user: user.id,
    credential: user.credential,
    secret: { hash: hashOf(secret), sealed: "" },
    lifeMs: TOKEN_LIFE_MS,
  };
  await inWords(client.execute("login.begin", input, { caller }), { conflict: authenticationFailed });
  return secret;
}

/**
 * A token of Holdfast's, shown as the password of whatever name: for clients that know no other way to send one. It is its
 * own token. Codes: 9.
 */
async function ownToken(password: string, call: Call): Promise<string | null> {
  const { env, namespace } = call;
  try {
    if (env.HOLDFAST_OPEN !== "1" && password !== "") {
      await authorizerOf(password, env, namespace);
      return password;
    }
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== "unauthenticated") throw error;
  }
  if ((await exists(call)) && (await read(call, "login.state", {})).isOn) return null;
  throw notEnabled();
}

/** The role `root` is the right to everything. */
const grantOf = (name: string, role: string): UserGrant =>
  role === ROOT ? { name, policy: { id: MANAGEMENT_ID } } : { name, role: { name: role } };

function roleNamesOf({ policies, roles }: UserView): string[] {
  const root = policies.some(({ id }) => id === MANAGEMENT_ID) ? [ROOT] : [];
  return [...root, ...roles.map(({ name }) => name)].toSorted();
}

/** Of the caller, as a user. */
async function hasRole(role: string, call: Call): Promise<boolean> {
  const { authorizer } = await call.identify();
  if (!authorizer.login) return false;
  return roleNamesOf(await read(call, "user.get", { name: authorizer.login.user }, NO_USER)).includes(role);
}
