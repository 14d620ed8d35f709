/** The middle one of some values, the upper of two; NaN where there are none. */
export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

/** To two decimal places. */
export const rounded = (value: number): number => Math.round(value * 100) / 100;
