import { problemResponse } from "../problem.ts";
import type { HttpListenOptions } from "./listen_options.ts";
import { guardBody, hasBody, refuseDeclaredBody } from "./request_body.ts";

/** What a runtime's listener holds by itself, so that the handler need not. */
export interface RuntimeGuards {
  /** Whether the runtime ends a request whose body of declared length takes too long. */
  readonly timesDeclaredBodies: boolean;
}

/**
 * The `fetch` of a listener: refuses what is too large or too slow with a problem document, and lets `options.fetch` answer the
 * rest. Never throws: a handler that does is reported and answered with 500.
 */
export async function answer(
  request: Request,
  info: { peerAddress: string; guards: RuntimeGuards; options: HttpListenOptions },
): Promise<Response> {
  const { peerAddress, guards, options } = info;
  const { limits, environment } = options;
  try {
    if (!hasBody(request.headers)) return await options.fetch(request, { peerAddress });
    const refusal = refuseDeclaredBody(request.headers, limits);
    if (refusal) return refusal;
    if (guards.timesDeclaredBodies && !request.headers.has("transfer-encoding")) {
      return await options.fetch(request, { peerAddress });
    }
    return await answerGuarded(request, peerAddress, options);
  } catch (error) {
    options.onError(error);
    const detail = "the server failed to answer; whether the request took effect is not known";
    return problemResponse({ status: 500, code: "internal", title: "Internal error", detail });
  }

  async function answerGuarded(request: Request, peerAddress: string, options: HttpListenOptions): Promise<Response> {
    const guarded = guardBody(request, { limits, clock: environment.clock });
    try {
      const response = await options.fetch(guarded.request, { peerAddress });
      return guarded.refusal() ?? response;
    } catch (error) {
      const refusal = guarded.refusal();
      if (refusal) return refusal;
      throw error;
    } finally {
      guarded.release();
    }
  }
}
