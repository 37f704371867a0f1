/** A state as its owner holds it; all others see it readonly. */
export type Writable<T> = { -readonly [Key in keyof T]: T[Key] };
