import type { MarkedExtension, TokenizerExtension, Tokens } from "marked";

export interface MathToken extends Tokens.Generic {
  type: "math";
  tex: string;
  display: boolean;
}

const toToken = (match: RegExpExecArray, display: boolean): MathToken =>
  ({ type: "math", raw: match[0], tex: (match[1] ?? match[2] ?? "").trim(), display });

const block: TokenizerExtension = {
  name: "math",
  level: "block",
  start: source => /(?:^|\n)[ \t]*(?:\$\$|\\\[)/.exec(source)?.index,
  tokenizer(source) {
    const match = /^[ \t]{0,3}(?:\$\$((?:[^$\\]|\\[\s\S]|\$(?!\$))+?)\$\$|\\\[([\s\S]+?)\\\])[ \t]*(?:\n|$)/.exec(source);
    return match ? toToken(match, true) : undefined;
  },
};

const inline: TokenizerExtension = {
  name: "math",
  level: "inline",
  start: source => /\$|\\\(|\\\[/.exec(source)?.index,
  tokenizer(source) {
    const shown = /^(?:\$\$((?:[^$\\\n]|\\[^\n])+?)\$\$|\\\[([^\n]+?)\\\])/.exec(source);
    if (shown)
      return toToken(shown, true);
    // A price is no formula: the dollars stand close to what they enclose, and no digit follows the second.
    const match = /^(?:\$(?![\s$])((?:[^$\\\n]|\\[^\n])*?(?:[^\s$\\]|\\[^\s]))\$(?!\d)|\\\(([\s\S]+?)\\\))/.exec(source);
    return match ? toToken(match, false) : undefined;
  },
};

/** Formulas between $, $$, \( \) and \[ \]. */
export const mathExtension: MarkedExtension = { extensions: [block, inline] };
