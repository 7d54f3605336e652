// Two engines' logits for the next token.

// The largest logit, where it is, the margin to the next, and the logarithm of the sum of exponentials.
function survey(logits) {
    let [top, first, second] = [0, -Infinity, -Infinity];
    for (let i = 0; i < logits.length; i++) {
        const x = logits[i];
        if (x > first) [second, first, top] = [first, x, i];
        else if (x > second) second = x;
    }
    let sum = 0;
    for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i] - first);
    return {top, margin: first - second, normaliser: first + Math.log(sum)};
}

// Two rows of logits at one position: the top tokens, the divergence KL(theirs || ours) in nats, and the losses of the token that follows.
export function compare(ours, theirs, next) {
    if (ours.length !== theirs.length) throw new Error(`${ours.length} logits, llama.cpp has ${theirs.length}`);
    const [a, b] = [survey(ours), survey(theirs)];
    let kl = 0;
    for (let i = 0; i < theirs.length; i++) {
        const logProbability = theirs[i] - b.normaliser;
        kl += Math.exp(logProbability) * (logProbability - (ours[i] - a.normaliser));
    }
    const losses = next === undefined ? undefined : {ours: a.normaliser - ours[next], theirs: b.normaliser - theirs[next]};
    return {ours: a.top, theirs: b.top, margin: b.margin, kl, losses};
}

export class Summary {
    compared = [];

    add(name, comparison) {
        this.compared.push({name, ...comparison});
    }

    result(margin) {
        const {compared} = this;
        const mean = (numbers) => numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
        const scored = compared.filter(({losses}) => losses !== undefined);
        const kls = compared.map(({kl}) => kl);
        const different = compared.filter(({ours, theirs}) => ours !== theirs);
        return {
            positions: compared.length,
            equal: compared.length - different.length,
            apart: different.filter((c) => c.margin > margin),
            meanKl: mean(kls),
            maxKl: Math.max(...kls),
            perplexity: {
                ours: Math.exp(mean(scored.map(({losses}) => losses.ours))),
                theirs: Math.exp(mean(scored.map(({losses}) => losses.theirs))),
            },
        };
    }
}
