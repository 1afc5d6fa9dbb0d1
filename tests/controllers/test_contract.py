def test_x(taught_pipe, taught_bpe_pipe):
    print(taught_pipe.heads.tasks)
    for t in taught_pipe.heads.tasks:
        h=taught_pipe.heads.find(t); print(t, h.config.labels)
    from cdlm.data.syntax import parse_one
    for s in ["Zizzi is a cheap pub near the park.","near the park there is a pub called Zizzi.","Zizzi serves Indian food.", "Zizzi is a pub that serves cheap Indian food.", "Zizzi is a French pub."]:
        p=parse_one(s); print(p.tags,p.heads,p.labels,sorted(p.spans))
    print(taught_pipe.heads.find("spans").config.facts)
    print(taught_pipe.generate(12,num_inference_steps=8).texts)
    print(taught_bpe_pipe.generate(12,num_inference_steps=8).texts)
