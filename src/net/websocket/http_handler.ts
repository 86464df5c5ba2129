import { problemResponse } from "../problem.ts";
import type { HttpListenOptions, RequestInfo } from "./listen_options.ts";
import { GuardedRequest, hasBody, hasSmallBody, refuseDeclaredBody, takeWholeBody } from "./request_body.ts";

export interface AnswerContext {
  readonly info: RequestInfo;
  readonly options: HttpListenOptions;
  /** Whether the listener itself watches the pace of a body of declared length, so that it need not be wrapped. */
  readonly pacesDeclaredBodies: boolean;
  /** Told how much came of a body, at the latest when it is answered; not where the listener watches the pace. */
  readonly onBody?: (byteLength: number) => void;
}

/**
 * The `fetch` of a listener: refuses what is too large or too slow with a problem document, and lets `options.fetch` answer the
 * rest. Never rejects: a handler that throws is reported and answered with 500.
 */
export async function answer(request: Request, context: AnswerContext): Promise<Response> {
  const { info, options, pacesDeclaredBodies } = context;
  try {
    const { headers } = request;
    if (!hasBody(headers)) return await options.fetch(request, info);
    const refusal = refuseDeclaredBody(headers, options.limits);
    if (refusal) return refusal;
    const isPaced = pacesDeclaredBodies && !headers.has("transfer-encoding");
    if (isPaced) return await options.fetch(request, info);
    return hasSmallBody(headers) ? await answerWhole(request, context) : await answerGuarded(request, context);
  } catch (error) {
    // A client that goes away in the middle of its body is no failure of ours.
    if (!request.signal.aborted) options.onError(error);
    const detail = "the server failed to answer; whether the request took effect is not known";
    return problemResponse({ status: 500, code: "internal", title: "Internal error", detail, sideEffects: "possible" });
  }
}

async function answerWhole(request: Request, { info, options, onBody }: AnswerContext): Promise<Response> {
  const body = await takeWholeBody(request, { limits: options.limits, clock: options.environment.clock });
  if (body instanceof Response) return body;
  onBody?.(body.byteLength);
  const { method, headers, signal } = request;
  return await options.fetch(new Request(request.url, { method, headers, signal, body }), info);
}

async function answerGuarded(request: Request, { info, options, onBody }: AnswerContext): Promise<Response> {
  const guarded = new GuardedRequest(request, { limits: options.limits, clock: options.environment.clock });
  try {
    const response = await options.fetch(guarded.request, info);
    return await guarded.refusal() ?? response;
  } catch (error) {
    const refusal = await guarded.refusal();
    if (refusal) return refusal;
    throw error;
  } finally {
    onBody?.(guarded.receivedBytes);
  }
}
