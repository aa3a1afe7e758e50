// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/pages/qat_verdicts.h"

#include "widgets/support/format_text.h"

#include <QCoreApplication>

#include <algorithm>

using quantloupe::LayerStart;
using quantloupe::LayerTrainingResult;
using quantloupe::LayerVerdict;

namespace {

/// Of what the layer began with, won back by training: so much is a rescue, and so much at least worth a word.
constexpr double rescue = 0.1, little = 0.01;

QString verdictText(const char* text)
{
    return QCoreApplication::translate("QatLayers", text);
}

QString percentOf(const quantloupe::LayerMethod& method)
{
    return format::percent(method.heldOut.relative);
}

/// What each way loses.
QString figuresOf(const LayerTrainingResult& result)
{
    return result.gptq
        ? verdictText("Of the outputs, %1 is error after training, %2 with GPTQ, %3 rounded to nearest.")
              .arg(percentOf(result.trained), percentOf(*result.gptq), percentOf(result.nearest))
        : verdictText("Of the outputs, %1 is error after training, %2 rounded to nearest; GPTQ does not round "
                      "this format.")
              .arg(percentOf(result.trained), percentOf(result.nearest));
}

QString startText(LayerStart start)
{
    switch (start) {
    case LayerStart::Descent: return verdictText("coordinate descent");
    case LayerStart::Gptq: return verdictText("GPTQ");
    case LayerStart::Best:
    case LayerStart::Nearest: break;
    }
    return verdictText("rounding to nearest");
}

/// What a start has won already is not training's: both are told apart.
QString answerTo(const LayerTrainingResult& result)
{
    // On some layers GPTQ loses more than plain rounding: what is to be beaten is the better of both.
    const bool byGptq = result.gptq && result.gptq->heldOut.squared <= result.nearest.heldOut.squared;
    const auto& rival = byGptq ? *result.gptq : result.nearest;
    const auto rivalStart = byGptq ? LayerStart::Gptq : LayerStart::Nearest;
    const auto below = [](const quantloupe::LayerMethod& one, const quantloupe::LayerMethod& other) {
        return 1.0 - (one.heldOut.squared / other.heldOut.squared);
    };
    if (!(result.trained.heldOut.squared < rival.heldOut.squared))
        return verdictText("No: QAT loses no less than %1.").arg(startText(rivalStart));
    const auto start = startText(result.start), than = startText(rivalStart);
    if (!result.beatsStart())
        return verdictText("No: training adds nothing to %1, which it began as and which loses %2 less than %3.")
            .arg(start, format::percent(below(result.begun, rival)), than);
    const double own = below(result.trained, result.begun);
    auto answer = (own >= rescue ? verdictText("Yes: training won back %1 of what %2, which it began as, loses.")
            : own >= little      ? verdictText("A little: training won back %1 of what %2, which it began as, loses.")
                                 : verdictText("Hardly: training won back %1 of what %2, which it began as, loses."))
                      .arg(format::percent(own), start);
    if (result.start != rivalStart)
        answer += u' '
            + verdictText("In all it loses %1 less than %2.").arg(format::percent(below(result.trained, rival)), than);
    return answer;
}

}  // namespace

QString verdictWords(LayerVerdict verdict)
{
    switch (verdict) {
    case LayerVerdict::BetterThanNearest: return verdictText("better than RTN");
    case LayerVerdict::NotBetterThanNearest: return verdictText("not better than RTN");
    case LayerVerdict::BetterThanGptq: return verdictText("better than GPTQ");
    case LayerVerdict::IsGptq: return verdictText("no better: is GPTQ's rounding");
    case LayerVerdict::NotBetterThanGptq: return verdictText("not better than GPTQ");
    }
    return {};
}

QString verdictSentence(const LayerTrainingResult& result)
{
    return answerTo(result) + u' ' + figuresOf(result) + u' '
        + verdictText("Judged on %1 held-out tokens that nothing was chosen by.")
              .arg(format::integer(result.judgingTokens));
}

QString verdictOfAll(const LayersSnapshot& layers)
{
    const auto count = [&](auto holds) {
        return format::integer(static_cast<std::uint64_t>(std::count_if(layers.trained.begin(), layers.trained.end(),
            [&](const TrainedTensorPointer& one) { return holds(one->result); })));
    };
    if (layers.trained.empty())
        return {};
    const auto all = format::integer(layers.trained.size());
    const bool byGptq = std::any_of(layers.trained.begin(), layers.trained.end(),
        [](const TrainedTensorPointer& one) { return one->result.gptq.has_value(); });
    const auto compared = byGptq ? verdictText("QAT is better than GPTQ in %1 of %2 layers.")
                                       .arg(count([](const auto& result) { return result.gptq && result.beatsGptq(); }),
                                           count([](const auto& result) { return result.gptq.has_value(); }))
                                 : verdictText("QAT is better than RTN in %1 of %2 layers.")
                                       .arg(count([](const auto& result) { return result.beatsNearest(); }), all);
    return compared + u' '
        + verdictText("Training itself made %1 of %2 better than what they began as.")
              .arg(count([](const auto& result) { return result.beatsStart(); }), all);
}
