// How many SMS a text becomes. The same rules as smsqueue/core/{alphabet,lookalikes,segments}.py;
// tests/vectors/segments.json holds both to them.

const BASIC =
  "\n\r !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz" +
  "£¥§¿¡¤èéùìòàÇØøÅåÆæßÉÄÖÑÜäöñüΔΦΓΛΩΠΨΣΘΞ";
const EXTENSION = "\f^{}\\[~]|€"; // each costs two septets: an escape and the character

const basic = new Set(BASIC);
const gsm = new Set(BASIC + EXTENSION);

// units that fit when the text is one SMS, and in each part of a longer one
const LIMITS = { "gsm-7": [160, 153], "ucs-2": [70, 67] };

// character: [name, replacement or null]
const TABLE = {
  "’": ["curly apostrophe", "'"],
  "‘": ["opening single quote", "'"],
  "‚": ["low single quote", "'"],
  "“": ["opening double quote", "\""],
  "”": ["closing double quote", "\""],
  "„": ["low double quote", "\""],
  "«": ["opening guillemet", "\""],
  "»": ["closing guillemet", "\""],
  "‹": ["opening single guillemet", "'"],
  "›": ["closing single guillemet", "'"],
  "′": ["prime", "'"],
  "″": ["double prime", "\""],
  "`": ["backtick", "'"],
  "´": ["acute accent", "'"],
  "–": ["en dash", "-"],
  "—": ["em dash", "-"],
  "‐": ["hyphen", "-"],
  "‑": ["non-breaking hyphen", "-"],
  "−": ["minus sign", "-"],
  "…": ["ellipsis", "..."],
  "•": ["bullet", "*"],
  "·": ["middle dot", "."],
  "°": ["degree sign", " deg"],
  "©": ["copyright sign", "(c)"],
  "®": ["registered sign", "(R)"],
  "™": ["trade mark sign", "TM"],
  "×": ["multiplication sign", "x"],
  "÷": ["division sign", "/"],
  "\t": ["tab", " "],
  "\u00a0": ["non-breaking space", " "],
  "\u2009": ["thin space", " "],
  "\u202f": ["narrow non-breaking space", " "],
  "\u00ad": ["soft hyphen", ""],
  "\u200b": ["zero-width space", ""],
  "\u200c": ["zero-width non-joiner", null],
  "\u200d": ["zero-width joiner", null],
  "\u2060": ["word joiner", ""],
  "\ufeff": ["byte order mark", ""],
  "\u200e": ["left-to-right mark", ""],
  "\u2028": ["line separator", "\n"],
  "\u2029": ["paragraph separator", "\n"],
  "Œ": ["ligature OE", "OE"],
  "œ": ["ligature oe", "oe"],
  "Ł": ["L with stroke", "L"],
  "ł": ["l with stroke", "l"],
  "Đ": ["D with stroke", "D"],
  "đ": ["d with stroke", "d"],
  "ı": ["dotless i", "i"],
  "ẞ": ["capital sharp s", "ß"],
};

export function clean(text) {
  return text.replace(/\r\n?/g, "\n");
}

/** Count the segments of a text; an empty text has none. */
export function measure(text) {
  const cleaned = clean(text);
  const characters = Array.from(cleaned);
  const encoding = characters.every((character) => gsm.has(character)) ? "gsm-7" : "ucs-2";
  const sizes = characters.map((character) => size(character, encoding));
  const units = sizes.reduce((sum, each) => sum + each, 0);
  const [single, part] = LIMITS[encoding];
  const limit = units <= single ? single : part;
  let segments = units > 0 ? 1 : 0;
  let filled = 0;
  for (const each of sizes) {
    if (filled + each > limit) {
      segments += 1;
      filled = 0;
    }
    filled += each;
  }
  return { encoding, units, segments, characters: characters.length, left: limit - filled };
}

function size(character, encoding) {
  if (encoding === "ucs-2") {
    return character.length; // a surrogate pair is two units and stays together
  }
  return basic.has(character) ? 1 : 2;
}

/** List each character that forces UCS-2, once, in the order of the text. */
export function costly(text) {
  const dear = new Set(Array.from(clean(text)).filter((character) => !gsm.has(character)));
  return Array.from(dear, explain);
}

function explain(character) {
  if (Object.hasOwn(TABLE, character)) {
    const [name, replacement] = TABLE[character];
    return { character, name, replacement };
  }
  const code = character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
  return { character, name: "U+" + code, replacement: withoutMarks(character) };
}

// What is left without accents and the like, as far as GSM-7 has it: ç gives c.
function withoutMarks(character) {
  const plain = character.normalize("NFKD").replace(/\p{M}/gu, "");
  const cheap = plain !== "" && Array.from(plain).every((each) => gsm.has(each));
  return cheap && (plain.trim() !== "" || /\p{Zs}/u.test(character)) ? plain : null;
}
