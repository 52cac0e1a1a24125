/** Owns which node the page's calls go to: the one that its socket is on, and others when that does not answer. */

/** The nodes that know this page's cookie: those under the same host name, whatever their port. */
export class Nodes {
  readonly #home: string;
  #now: string;
  #all: readonly string[];

  constructor(home: string) {
    this.#home = home;
    this.#now = home;
    this.#all = [home];
  }

  /** The socket is open on `node`, so that one lives; `all` are those that the cluster tells of. */
  follow(node: string, all: readonly string[]): void {
    this.#all = [...new Set([this.#home, ...all])].filter((each) => this.#knows(each));
    this.#now = this.#knows(node) ? node : this.#home;
  }

  /** The socket is about to try `node`: what has to be asked for that is asked there, and not of the one just lost. */
  prefer(node: string): void {
    if (this.#knows(node)) this.#now = node;
  }

  /** Where to ask, in order; what must not be done twice is asked once, where the socket is. */
  order(repeatable: boolean): readonly string[] {
    return repeatable ? [this.#now, ...this.#all.filter((each) => each !== this.#now)] : [this.#now];
  }

  /** A browser keeps a cookie by host name and scheme, and sends it nowhere else. */
  #knows(node: string): boolean {
    try {
      const [there, here] = [new URL(node), new URL(this.#home)];
      return there.hostname === here.hostname && there.protocol === here.protocol;
    } catch {
      return false;
    }
  }
}
