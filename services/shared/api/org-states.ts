import { type Static, Type } from "typebox";

interface StateRules {
  /** It has its name and its claim: no other organization can have them. */
  live: boolean;
  /** The directory lists it, the control plane reconciles it, and operators may change its Vault's configuration. */
  served: boolean;
  /** The directory lists it as deleted, so that gateways accept another organization for its claim. */
  withdrawn: boolean;
  /** Its deletion may start or continue. */
  deletable: boolean;
}

/** The states of an organization, and their rules. */
export const ORG_STATES = {
  initializing: { live: true, served: false, withdrawn: false, deletable: false },
  ready: { live: true, served: true, withdrawn: false, deletable: true },
  failed: { live: false, served: false, withdrawn: false, deletable: false },
  deleting: { live: true, served: false, withdrawn: true, deletable: true },
  deleted: { live: false, served: false, withdrawn: true, deletable: false },
  // Its directory entry stays, and nothing changes its Vault.
  quarantined: { live: true, served: false, withdrawn: false, deletable: true },
} as const satisfies Record<string, StateRules>;

export const OrgState = Type.Enum(Object.keys(ORG_STATES) as (keyof typeof ORG_STATES)[]);
export type OrgState = Static<typeof OrgState>;

interface InState {
  state: OrgState;
}

/** Whether an organization has its name and its claim. */
export const isLive = ({ state }: InState): boolean => ORG_STATES[state].live;

/** Whether an organization's Vault is in use: listed in the directory, reconciled, configurable by operators. */
export const isServed = ({ state }: InState): boolean => ORG_STATES[state].served;
