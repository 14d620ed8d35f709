import { CONTROL_PLANE_PORT } from "./ports.ts";
import type { Settings } from "./settings.ts";

export const CONTROL_PLANE = "control-plane";

/** The private DNS domain of organizations' Vaults and the control plane. */
export const cellDomain = ({ internalDomain }: Settings): string => `vaults.${internalDomain}`;

/** The control plane's URL for gateways and operators. */
export const controlPlaneAddress = (settings: Settings): string =>
  `http://${CONTROL_PLANE}.${cellDomain(settings)}:${CONTROL_PLANE_PORT}`;
