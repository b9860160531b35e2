/** What may stand next on a command line: found from the commands themselves, so that nothing has to be kept in step with them. */

import type { Argument, Command, Option } from 'commander';

export interface Candidate {
  readonly value: string;
  readonly doc: string;
}

/** What a shell knows by itself. */
export type Files = 'files' | 'folders' | 'none';

export interface Completion {
  readonly candidates: readonly Candidate[];
  /** What else may stand there. */
  readonly files: Files;
}

/** Values of what is not a choice of commander's: by the option's or argument's name. */
export type Values = (name: string, given: Given) => Promise<Completion | undefined>;

/** What stands before, by the options' long names without dashes. */
export type Given = ReadonlyMap<string, string>;

/** Where the word to complete stands. */
interface Place {
  readonly command: Command;
  readonly given: Given;
  /** Option whose value it is. */
  readonly option: Option | undefined;
  /** Arguments before it. */
  readonly positionals: number;
  /** No option of ours can follow. */
  readonly ended: boolean;
}

const NONE: Completion = { candidates: [], files: 'none' };

/** @param words of the command line, without the program; the last is the one to complete, perhaps empty */
export async function completeWords(program: Command, words: readonly string[], values: Values): Promise<Completion> {
  const last = words.at(-1) ?? '';
  const place = placeOf(program, words.slice(0, -1));
  const { command, option } = place;
  if (option) return matching(await valuesOf(option, place, values), last);
  const assigned = place.ended ? null : /^(--[\w-]+=)(.*)$/s.exec(last);
  if (assigned) {
    const [, prefix = '', start = ''] = assigned;
    const found = optionOf(command, prefix.slice(0, -1));
    if (!found || found.isBoolean()) return NONE;
    const { candidates, files } = matching(await valuesOf(found, place, values), start);
    return { candidates: candidates.map(({ value, doc }) => ({ value: prefix + value, doc })), files };
  }
  if (last.startsWith('-') && !place.ended) return matching(options(place), last);
  const commands =
    place.positionals > 0 || place.ended ? [] : visible(command).map((sub) => candidate(sub.name(), sub.description()));
  const argument = argumentAt(command, place.positionals);
  const rest = argument === undefined ? NONE : await valuesOf(argument, place, values);
  return matching({ candidates: [...commands, ...rest.candidates], files: rest.files }, last);
}

function placeOf(program: Command, words: readonly string[]): Place {
  let command = program;
  let positionals = 0;
  let ended = false;
  let option: Option | undefined;
  const given = new Map<string, string>();
  for (const word of words) {
    if (option) {
      given.set(nameOf(option), word);
      option = undefined;
    } else if (ended || !word.startsWith('-') || word === '-') {
      const sub = positionals > 0 || ended ? undefined : command.commands.find((one) => one.name() === word);
      if (sub) {
        command = sub;
        continue;
      }
      // whose arguments are commands
      if (command === program && word === 'help') continue;
      positionals++;
      // what follows belongs to the program that is run
      if (passesThrough(command)) ended = true;
    } else if (word === '--') ended = true;
    else {
      const [flag = '', value] = word.split(/=(.*)/s, 2);
      const found = optionOf(command, flag);
      if (!found) continue;
      if (value !== undefined) given.set(nameOf(found), value);
      else if (found.required) option = found;
      else given.set(nameOf(found), '');
    }
  }
  return { command, given, option, positionals, ended };
}

/** Not public in commander; its setter is. */
function passesThrough(command: Command): boolean {
  return (command as unknown as { readonly _passThroughOptions?: boolean })._passThroughOptions === true;
}

function argumentAt(command: Command, index: number): Argument | undefined {
  const { registeredArguments } = command;
  const last = registeredArguments.at(-1);
  return registeredArguments[index] ?? (last?.variadic ? last : undefined);
}

const nameOf = (option: Option) => option.long?.slice(2) ?? option.name();

function optionOf(command: Command, flag: string): Option | undefined {
  return command.options.find(({ long, short }) => long === flag || short === flag);
}

/** Those that were not given yet, or may be repeated. */
function options({ command, given }: Place): Completion {
  const list = command.options
    .filter((option) => !option.hidden && (!given.has(nameOf(option)) || /repeated/.test(option.description)))
    .map((option) => candidate(option.long ?? option.short ?? '', option.description));
  return { candidates: [...list, { value: '--help', doc: 'display help for command' }], files: 'none' };
}

/** `sagrada help` has nothing of its own. */
function visible(command: Command): readonly Command[] {
  return command.createHelp().visibleCommands(command);
}

async function valuesOf(what: Option | Argument, place: Place, values: Values): Promise<Completion> {
  const { argChoices } = what;
  if (argChoices) return { candidates: argChoices.map((value) => ({ value, doc: '' })), files: 'none' };
  const isOption = 'flags' in what;
  // an argument's name says what it is; an option's placeholder does, e.g. <file>
  const placeholder = isOption ? (/[<[]([\w-]+)/.exec(what.flags)?.[1] ?? '') : what.name();
  const found = await values(isOption ? `--${nameOf(what)}` : placeholder, place.given);
  return found ?? { candidates: [], files: filesOf(placeholder) };
}

function filesOf(placeholder: string): Files {
  if (placeholder === 'folder') return 'folders';
  return /^(file|kernel|args|command|before|name=file)$/.test(placeholder) ? 'files' : 'none';
}

function matching({ candidates, files }: Completion, start: string): Completion {
  return { candidates: candidates.filter(({ value }) => value.startsWith(start)), files };
}

/** One line for what is said at length in the help. */
function candidate(value: string, doc: string): Candidate {
  const [first = ''] = doc.split(/[;:.(\n]/, 1);
  return { value, doc: first.trim() };
}
