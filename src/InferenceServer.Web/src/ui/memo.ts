import { Component, h, type ComponentChild, type FunctionComponent, type VNode } from "preact";

/** A component that is rendered again only when a prop is another object. (preact/compat has one too, with all of React beside it.) */
export function memo<P extends object>(render: (props: P) => VNode<any> | null): FunctionComponent<P> {
  class Memo extends Component<P> {
    override shouldComponentUpdate(next: P): boolean {
      const names = new Set([...Object.keys(this.props), ...Object.keys(next)]) as Set<keyof P>;
      for (const name of names) {
        if (name !== "children" && this.props[name as never] !== next[name])
          return true;
      }
      return false;
    }

    override render(props: P): ComponentChild {
      return h(render as FunctionComponent<any>, props);
    }
  }
  return Memo as unknown as FunctionComponent<P>;
}
