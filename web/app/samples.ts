/** Texts to read: public domain, and held out from the training of the shipped model. */

export interface Sample {
  id: string;
  title: string;
  credit: string;
  url: URL;
}

const HELD_OUT = "Public domain; the shipped model never saw it in training.";

export const samples: readonly Sample[] = [
  {
    id: "alice",
    title: "Alice in Wonderland",
    credit: `Lewis Carroll, Alice's Adventures in Wonderland (1865), chapter I. From Project Gutenberg, book 11. ${HELD_OUT}`,
    url: new URL("./samples/alice.txt", import.meta.url),
  },
  {
    id: "east",
    title: "East of the Sun",
    credit: `“East of the Sun and West of the Moon”, the first part, in Andrew Lang's The Blue Fairy Book (1889). From Project Gutenberg, book 503. ${HELD_OUT}`,
    url: new URL("./samples/east-of-the-sun.txt", import.meta.url),
  },
  {
    id: "blaze",
    title: "Silver Blaze",
    credit: `Arthur Conan Doyle, “Silver Blaze”, the first part, in The Memoirs of Sherlock Holmes (1893). From Project Gutenberg, book 834. ${HELD_OUT}`,
    url: new URL("./samples/silver-blaze.txt", import.meta.url),
  },
];

export async function sampleText(sample: Sample): Promise<string> {
  const response = await fetch(sample.url);
  if (!response.ok) throw new Error(`${sample.title} did not come: the server answered ${response.status}.`);
  return (await response.text()).trim();
}

/** A tale about somebody whose name no book has. */
export const TALE = `Mirabo lived alone at the edge of the wood. Every morning Mirabo went down to the river with her grey goose, and every evening Mirabo came home with a silver fish. "Good evening, Mirabo," said the goose. "Good evening," said Mirabo, and she put the fish in the pot.

One night a knock came at the door, and there stood a poor old man. "Come in," said Mirabo. So the old man came in, and sat by the fire, and Mirabo gave him half of the silver fish. In the morning the old man was gone, but where he had sat there lay a golden key.

Mirabo took the key and went down to the river. "Grey goose, grey goose," said Mirabo, "what does this key open?" "The door under the hill, Mirabo," said the goose. So Mirabo put on her red cloak, and Mirabo walked and walked till she came to the hill, and there was the door. Mirabo turned the key, and the door flew open.`;
