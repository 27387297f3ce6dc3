"""torchrun --nproc-per-node 4 -m torch_parity.torch_ref.distributed FOLDER"""

from torch_parity.torch_ref.distributed.train import leave, main

if __name__ == "__main__":
    main()
    leave()
