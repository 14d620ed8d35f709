import { CONTROL_PLANE_PORT } from "./ports.ts";
import type { Settings } from "./settings.ts";

export const CONTROL_PLANE = "control-plane";

/** The private domain in which organizations' Vaults and the control plane are found. */
export const cellDomain = ({ internalDomain }: Settings): string => `vaults.${internalDomain}`;

/** Where the gateways and operators find the control plane. */
export const controlPlaneAddress = (settings: Settings): string =>
  `http://${CONTROL_PLANE}.${cellDomain(settings)}:${CONTROL_PLANE_PORT}`;
