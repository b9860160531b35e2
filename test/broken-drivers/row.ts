/** Name, what is wrong then, file, function, what is changed in it, what it becomes, which tests should notice: see `BrokenDriver`. */
export type Row = readonly [string, string, string, string, RegExp, string, RegExp];

export const common = (file: string) => `drivers/accel/habanalabs/common/${file}`;
export const GAUDI = 'drivers/accel/habanalabs/gaudi/gaudi.c';
