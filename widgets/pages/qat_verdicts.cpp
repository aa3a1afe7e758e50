// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/pages/qat_verdicts.h"

#include "widgets/pages/qat_layers.h"
#include "widgets/support/format_text.h"

#include <algorithm>

using quantloupe::LayerStart;
using quantloupe::LayerTrainingResult;
using quantloupe::LayerVerdict;

namespace {

/// Of what the layer began with, won back by training: so much is a rescue, and so much at least worth a word.
constexpr double rescue = 0.1, little = 0.01;

QString percentOf(const quantloupe::LayerMethod& method)
{
    return format::percent(method.heldOut.relative);
}

/// What each way loses.
QString figuresOf(const LayerTrainingResult& result)
{
    return result.gptq
        ? QatLayers::tr("Of the outputs, %1 is error after training, %2 with GPTQ, %3 rounded to nearest.")
              .arg(percentOf(result.trained), percentOf(*result.gptq), percentOf(result.nearest))
        : QatLayers::tr("Of the outputs, %1 is error after training, %2 rounded to nearest; GPTQ does not round "
                        "this format.")
              .arg(percentOf(result.trained), percentOf(result.nearest));
}

QString startText(LayerStart start)
{
    switch (start) {
    case LayerStart::Descent: return QatLayers::tr("coordinate descent");
    case LayerStart::Gptq: return QatLayers::tr("GPTQ");
    case LayerStart::Best:
    case LayerStart::Nearest: break;
    }
    return QatLayers::tr("rounding to nearest");
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
        return QatLayers::tr("No: QAT loses no less than %1.").arg(startText(rivalStart));
    const auto start = startText(result.start), than = startText(rivalStart);
    if (!result.beatsStart())
        return QatLayers::tr("No: training adds nothing to %1, which it began as and which loses %2 less than %3.")
            .arg(start, format::percent(below(result.begun, rival)), than);
    const double own = below(result.trained, result.begun);
    auto answer = (own >= rescue ? QatLayers::tr("Yes: training won back %1 of what %2, which it began as, loses.")
            : own >= little      ? QatLayers::tr("A little: training won back %1 of what %2, which it began as, loses.")
                                 : QatLayers::tr("Hardly: training won back %1 of what %2, which it began as, loses."))
                      .arg(format::percent(own), start);
    if (result.start != rivalStart)
        answer += u' '
            + QatLayers::tr("In all it loses %1 less than %2.")
                  .arg(format::percent(below(result.trained, rival)), than);
    return answer;
}

}  // namespace

QString verdictWords(LayerVerdict verdict)
{
    switch (verdict) {
    case LayerVerdict::BetterThanNearest: return QatLayers::tr("better than RTN");
    case LayerVerdict::NotBetterThanNearest: return QatLayers::tr("not better than RTN");
    case LayerVerdict::BetterThanGptq: return QatLayers::tr("better than GPTQ");
    case LayerVerdict::IsGptq: return QatLayers::tr("no better: is GPTQ's rounding");
    case LayerVerdict::NotBetterThanGptq: return QatLayers::tr("not better than GPTQ");
    }
    return {};
}

QString verdictSentence(const LayerTrainingResult& result)
{
    return answerTo(result) + u' ' + figuresOf(result) + u' '
        + QatLayers::tr("Judged on %1 held-out tokens that nothing was chosen by.")
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
    const auto compared = byGptq ? QatLayers::tr("QAT is better than GPTQ in %1 of %2 layers.")
                                       .arg(count([](const auto& result) { return result.gptq && result.beatsGptq(); }),
                                           count([](const auto& result) { return result.gptq.has_value(); }))
                                 : QatLayers::tr("QAT is better than RTN in %1 of %2 layers.")
                                       .arg(count([](const auto& result) { return result.beatsNearest(); }), all);
    return compared + u' '
        + QatLayers::tr("Training itself made %1 of %2 better than what they began as.")
              .arg(count([](const auto& result) { return result.beatsStart(); }), all);
}
